//! Help, completions and manual pages, which come from one definition.

use crate::support::Place;

const COMMANDS: [&str; 16] =
    ["ls", "info", "head", "stat", "du", "map", "verify", "repair", "compact", "gc", "export", "import", "rm", "cp", "completions", "man"];

#[test]
fn every_command_has_help_with_examples() {
    let place = Place::new();
    let all = place.says(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is not in the list");
        let short = place.says(&[command, "-h"]);
        let long = place.says(&[command, "--help"]);
        assert!(short.starts_with(char::is_uppercase) && short.contains("Usage: chunkstore"), "{short}");
        for part in ["Examples:\n  chunkstore ", "\nJSON: ", "--json"] {
            assert!(long.contains(part), "{part:?} is not in the help of {command}");
        }
        let (_, ours) = long.split_once("Examples:").unwrap();
        for line in ours.lines() {
            assert!(line.chars().count() <= 105, "a long line in the help of {command}: {line}");
        }
    }
    for part in ["Exit codes:", "STORE", "data/store/climate/temperature", "--json"] {
        assert!(all.contains(part) || part == "STORE", "{part}");
    }
    assert!(place.says(&["demo", "--help"]).contains("--memory"));
    assert!(place.says(&["--version"]).starts_with("chunkstore 0."));
}

#[test]
fn completions_are_made_for_the_shells() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.says(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{command} is not in the completions for {shell}");
        }
        let document = place.run(&["completions", shell, "--json"]).code(0).document();
        assert_eq!((document["shell"].as_str(), document["script"].as_str()), (Some(shell), Some(script.as_str())));
    }
}

#[test]
fn manual_pages_are_troff() {
    let place = Place::new();
    assert!(place.says(&["man"]).contains(".TH chunkstore 1"));
    for command in COMMANDS {
        let page = place.says(&["man", command]);
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS", "Examples:", &format!("chunkstore\\-{command}")] {
            assert!(page.contains(part), "{part:?} is not in the page of {command}");
        }
    }
    let written = place.says(&["man", "--folder", "man1"]);
    assert!(written.lines().count() > COMMANDS.len());
    for line in written.lines() {
        assert!(std::fs::metadata(place.path(line)).unwrap().len() > 500);
    }
    assert_eq!(std::fs::read_to_string(place.path("man1/chunkstore-verify.1")).unwrap(), place.says(&["man", "verify"]));
    assert!(place.run(&["man", "ls", "--json"]).code(0).document()["pages"][0]["text"].as_str().unwrap().contains(".TH"));
}
