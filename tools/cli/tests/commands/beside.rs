//! Beside a process that has the store open for writing.

use crate::support::{Place, save_numbers};
use chunkstore_store::{Block, Buffer, Chunk, DType, DatasetKind, Shape};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A process that holds the store `s` until its standard input ends.
struct Writer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(place: &Place) -> Writer {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "beside::holder", "--ignored", "--nocapture"]).env("CHUNKSTORE_HELD", place.path("s"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut writer = Writer { child, input, output };
        writer.wait_for("held");
        writer
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while !line.contains(word) {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the writer ended before it said {word}");
        }
    }

    fn commit(&mut self) {
        self.input.as_mut().unwrap().write_all(b"commit\n").unwrap();
        self.wait_for("committed");
    }

    /// Has it write a chunk that it does not commit.
    fn put(&mut self) {
        self.input.as_mut().unwrap().write_all(b"put\n").unwrap();
        self.wait_for("put");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.input.take();
        self.child.wait().unwrap();
    }
}

#[test]
#[ignore = "the other process of the tests here"]
fn holder() {
    let Some(folder) = std::env::var_os("CHUNKSTORE_HELD") else { return };
    let store = chunkstore_store::Store::open(folder).unwrap();
    println!("\nheld");
    let mut writers = Vec::new();
    for (number, line) in std::io::stdin().lines().map_while(Result::ok).enumerate() {
        if line == "put" {
            // More than what stays in memory until it is committed, and nothing that can be made smaller.
            let values: Vec<u64> =
                (1..=1u64 << 20).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(n)).collect();
            let kind = DatasetKind::array(DType::U64, &[values.len()], &[vec![values.len()]]).unwrap();
            let writer = store.create(&format!("open/{number}"), kind).unwrap();
            let shape = Shape::from_slice(&[values.len()]);
            let block = Block::new(Buffer::from_vec(std::sync::Arc::new(values)), 0, DType::U64, shape).unwrap();
            writer.put(0, &Chunk::Block(block)).unwrap();
            writers.push(writer);
            println!("\nput");
            continue;
        }
        save_numbers(&store, &format!("new/{number}"), 3, 2, 2);
        println!("\ncommitted");
    }
}

#[test]
fn readers_work_and_writers_are_refused() {
    let place = Place::new();
    place.sample();
    let mut writer = Writer::start(&place);
    let array = "s/climate/temperature";
    for arguments in [
        &["ls", "s"][..],
        &["info", "s"],
        &["info", array],
        &["head", array],
        &["stat", array],
        &["du", "s"],
        &["map", array, "--check"],
        &["verify", "s"],
        &["gc", "s", "--dry-run"],
        &["export", array, "out.npy", "--force"],
        &["cp", array, "t//copy", "--create", "--replace"],
        &["rm", array, "--dry-run"],
    ] {
        place.run(arguments).code(0);
        place.run(&[arguments, &["--json"]].concat()).code(0).json();
    }
    std::fs::write(place.path("x.csv"), "1,2\n").unwrap();
    for arguments in [
        &["rm", array][..],
        &["cp", array, "s/copy"],
        &["cp", "t/copy", "s/copy"],
        &["import", "x.csv", "s/x"],
        &["compact", "s"],
        &["gc", "s"],
        &["repair", "s"],
    ] {
        let ran = place.run(arguments).code(4);
        assert!(ran.err.contains(&format!("process {}", writer.child.id())), "{arguments:?}: {}", ran.err);
    }
    let info = place.run(&["info", "s", "--json"]).code(0).document();
    assert_eq!((&info["writer"]["process"], &info["writer"]["alive"]), (&writer.child.id().into(), &true.into()));
    // What it commits is seen by the next command.
    place.run(&["head", "s/new/0"]).code(3);
    writer.commit();
    place.run(&["head", "s/new/0"]).code(0);
    place.run(&["verify", "s"]).code(0);
    drop(writer);
    assert!(place.run(&["info", "s", "--json"]).code(0).document()["writer"].is_null());
    place.run(&["rm", array]).code(0);
}

#[test]
fn what_a_writer_has_not_committed_is_no_garbage() {
    let place = Place::new();
    let mut writer = Writer::start(&place);
    // Its first segment, of which nothing is committed.
    writer.put();
    let found = place.run(&["gc", "s", "--dry-run", "--json"]).code(0).document();
    assert_eq!((&found["bytes"], found["files"].as_array().map(Vec::len)), (&0.into(), Some(0)), "{found:#}");
    assert!(found["left_out"].as_u64().unwrap() > 0, "{found:#}");
    let said = place.says(&["gc", "s", "--dry-run"]);
    assert!(said.contains("0 files would be removed") && said.contains(&format!("process {}", writer.child.id())), "{said}");
    assert_eq!(place.run(&["du", "s", "--json"]).code(0).document()["collectable_bytes"], 0);
    assert!(!place.says(&["du", "s"]).contains("chunkstore gc"));
    let said = place.says(&["verify", "s"]);
    assert!(!said.contains("chunkstore compact") && said.contains("may be writing"), "{said}");
    drop(writer);
}

#[test]
fn scratch_of_running_programs_is_shown() {
    use chunkstore_store::{Arena, Ledger, Scratch, ScratchOptions};
    let place = Place::new();
    std::fs::create_dir(place.path("tmp")).unwrap();
    place.run(&["ls", "tmp"]).code(3);
    let arena = Arena::new(Ledger::new(64 << 20));
    let scratch = Scratch::open(ScratchOptions::new(place.path("tmp")), &arena).unwrap();
    let name = scratch.folder().file_name().unwrap().to_str().unwrap().to_string();
    let said = place.says(&["ls", "tmp"]);
    assert!(said.contains(&name) && said.contains(&format!("of the running process {}", std::process::id())), "{said}");
    let found = place.run(&["info", &format!("tmp/{name}"), "--json"]).code(0).document();
    assert_eq!((&found["scratch"][0]["state"], &found["scratch"][0]["owner"]["process"]), (&"running".into(), &std::process::id().into()));
    place.run(&["du", "tmp", "--json"]).code(0).document();
    assert_eq!(place.run(&["ls", "tmp", "--json"]).code(0).document()["kind"], "scratch");
}
