//! Lines of what is behind URLs.

use super::blocks::LineEnd;
use super::encoding::Coding;
use super::file_lines::{Bytes, lines_footprint, lines_of};
use super::lazy::Bag;
use super::lines::{Form, Plain};
use super::pipeline::Pipeline;
use super::regroup::missing;
use super::stream::BoxStream;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Arena;
use std::io::Read;
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A partition is taken to have about so many bytes.
const GUESS: u64 = 1 << 20;

/// What the client keeps of a connection, about: its buffers, and those of its encryption.
const CONNECTION: u64 = 512 << 10;

/// How long a server may take to be there, and then to begin its answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lines of texts behind URLs (`http` and `https`), each of which is a partition: they stream, and are read anew each time that they are needed; what a server compresses for the way is decompressed, and no more than that. See [`read_text`](super::read_text) for
/// what a line is. With the feature `url`.
///
/// Where a server does not go on sending, a task waits for it as long as the connection stands, also when its run is cancelled.
///
/// # Errors
/// Unsupported for other URLs, when it is called. When they are read: NotFound where the server has no such text, Io where it cannot be reached or the connection breaks, Failed where the server
/// says so, Corrupt for what is not UTF-8, all with the URL.
///
/// ```no_run
/// use chunkstore::bag;
/// let lines = bag::from_url(["http://www.example.org/a.txt", "http://www.example.org/b.txt"])?;
/// assert_eq!(lines.npartitions()?, 2);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn from_url<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Result<Bag<String>> {
    let urls: Arc<[String]> = urls.into_iter().map(Into::into).collect();
    if let Some(other) = urls.iter().find(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(
            Error::new(ErrorKind::Unsupported, format!("`{other}` is no URL of http or https")).hint("files are read by `read_text`")
        );
    }
    if u32::try_from(urls.len()).is_err() {
        return Err(Error::new(ErrorKind::Unsupported, format!("{} URLs", urls.len())).hint("give less than 2^32 to a bag"));
    }
    // What is behind a URL may be another text each time.
    let key = KeyBuilder::new("bag.from_url", 1).nonce().finish();
    let form = Arc::new(Form { end: LineEnd::Any, coding: Coding::decoded() });
    Ok(Bag::of(Ok(Arc::new(Urls { urls, form, key }) as _), Location::caller()))
}

struct Urls {
    urls: Arc<[String]>,
    form: Arc<Form>,
    key: Key,
}

impl Pipeline<String> for Urls {
    fn name(&self) -> &str {
        "from_url"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        Vec::new()
    }

    fn partitions(&self) -> u32 {
        self.urls.len() as u32
    }

    fn dependencies(&self, _partition: u32, _first: u32, _out: &mut Vec<Dependency>) {}

    fn estimate(&self, _partition: u32) -> u64 {
        GUESS
    }

    fn scratch(&self, _partition: u32) -> u64 {
        lines_footprint() + CONNECTION
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, _inputs: &[Value]) -> Result<BoxStream<String>> {
        let urls = self.urls.clone();
        let open = move |url: usize, _: &Arena| {
            let url = urls.get(url).ok_or_else(missing)?;
            Ok((Box::new(Body::get(url)?) as Box<dyn Bytes>, PathBuf::from(url)))
        };
        let partition = partition as usize;
        lines_of(task, Box::new(open), partition..partition + 1, self.form.clone(), Arc::new(Plain))
    }

    fn with_inputs(&self, _inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<String>>> {
        None
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<String>>> {
        None
    }
}

fn refused(status: u16, url: &str) -> Error {
    let kind = if matches!(status, 404 | 410) { ErrorKind::NotFound } else { ErrorKind::Failed };
    Error::new(kind, format!("the server answers with status {status}")).at(url)
}

/// What a server sends.
struct Body(ureq::BodyReader<'static>);

impl Body {
    fn get(url: &str) -> Result<Body> {
        let client: ureq::Agent =
            ureq::Agent::config_builder().timeout_connect(Some(PATIENCE)).timeout_recv_response(Some(PATIENCE)).build().into();
        match client.get(url).call() {
            Ok(response) if response.status().is_success() => Ok(Body(response.into_body().into_reader())),
            Ok(response) => Err(refused(response.status().as_u16(), url)),
            Err(ureq::Error::StatusCode(status)) => Err(refused(status, url)),
            Err(error) => Err(Error::new(ErrorKind::Io, format!("cannot be had: {error}")).at(url)),
        }
    }
}

impl Bytes for Body {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        // Whoever asks adds the URL.
        self.0.read(out).map_err(|error| Error::new(ErrorKind::Io, format!("the connection broke: {error}")))
    }
}
