//! The house rules that a machine can check. Limits only ever get tighter.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets something unforeseen fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Which modules stand on which floor. A module imports from lower floors only.
const FLOORS: &[&[&str]] = &[
    &["types", "shutdown", "metrics", "blocking"],
    &["message"],
    &["protocol", "log", "zookeeper"],
    &["net"],
    &["replication", "controller", "client", "admin"],
    &["broker"],
    &["cli"],
];

/// Lines of a file, its tests not counted.
const LINES: usize = 400;

/// Words that no name ends in: they say nothing.
const EMPTY_WORDS: &[&str] = &[
    "Manager", "Helper", "Helpers", "Util", "Utils", "Common", "Impl", "Info", "Data",
];

/// What is left to do does not merge. Put together here, so that this file does not find itself.
const LEFT_TO_DO: &[&str] = &[
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ign", "ore"),
];

/// Places that exist only where somebody works on this, not in a clone.
const ELSEWHERE: &[&str] = &[
    concat!("../sha", "red"),
    concat!("/wo", "rk/"),
    concat!("/tm", "p/w/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
];

/// Beginnings of ZooKeeper paths.
const ZNODES: &[&str] = &[
    "\"/brokers",
    "\"/controller",
    "\"/consumers",
    "\"/config",
    "\"/admin",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file below the root, with its text.
struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The part that is not tests.
    fn code(&self) -> &str {
        let tests = self.path.ends_with("/tests.rs") || self.path.contains("/tests/");
        if tests {
            ""
        } else {
            self.text.split("#[cfg(test)]").next().unwrap_or_default()
        }
    }

    /// The module below `src` it belongs to; none for `main.rs` and `lib.rs`.
    fn module(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        let module = first.strip_suffix(".rs").unwrap_or(first);
        (module != "main" && module != "lib").then_some(module)
    }
}

/// Every text file with one of the extensions (or none) below a folder.
fn files(folder: &str, extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let extension = path
                .extension()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() {
                // What cargo builds has this file.
                if !path.join("CACHEDIR.TAG").exists() {
                    open.push(path);
                }
            } else if extensions.contains(&extension.as_str()) {
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                let path = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn sources() -> Vec<Source> {
    let found = files("src", &["rs"]);
    assert!(found.len() > 3, "the sources are found");
    found
}

/// Everything a person wrote here: code, tests, scripts.
fn written() -> Vec<Source> {
    let mut all = sources();
    all.extend(
        files("tests", &["rs", "py", "xml", "properties"])
            .into_iter()
            .filter(|file| !file.path.starts_with("tests/fixtures/")),
    );
    all.extend(files("scripts", &["sh", ""]));
    all.extend(files(".ci", &["sh", ""]));
    for name in [
        "README.md",
        "Cargo.toml",
        "tests/reference/kafka",
        "tests/reference/script",
    ] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            all.push(Source {
                path: name.to_owned(),
                text,
            });
        }
    }
    all
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

#[track_caller]
fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The word that a text begins with.
fn first_word(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    end.map_or(text, |end| &text[..end])
}

#[test]
fn every_module_stands_on_a_floor() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| source.module().is_some_and(|module| floor(module).is_none()))
        .map(|source| format!("{} stands on no floor", source.path))
        .collect();
    nothing(&wrong);
}

#[test]
fn modules_import_from_lower_floors_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(here) = source.module() else { continue };
        for used in source.text.split("crate::").skip(1).map(first_word) {
            if used != here && floor(used).is_some_and(|there| Some(there) >= floor(here)) {
                wrong.push(format!("{} uses {used}", source.path));
            }
        }
    }
    nothing(&wrong);
}

#[test]
fn imports_are_one_line_per_module() {
    let wrong: Vec<String> = sources()
        .iter()
        .chain(&files("tests", &["rs"]))
        .filter(|source| {
            source
                .text
                .lines()
                .any(|line| line.trim_start().starts_with(concat!("use crate::", "{")))
        })
        .map(|source| format!("{}: one `use crate::module::Thing;` per module", source.path))
        .collect();
    nothing(&wrong);
}

#[test]
fn files_are_short_enough_to_be_read() {
    let wrong: Vec<String> = sources()
        .iter()
        .map(|source| (source, source.code().lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(source, lines)| {
            format!(
                "{}: {lines} lines without its tests, at most {LINES}",
                source.path
            )
        })
        .collect();
    nothing(&wrong);
}

#[test]
fn files_say_what_they_own() {
    let wrong: Vec<String> = sources()
        .iter()
        .chain(&files("tests", &["rs"]))
        // The tests of a file belong to it and are moved out only for their length.
        .filter(|source| !source.path.ends_with("/tests.rs"))
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| format!("{} does not open with `//!`", source.path))
        .collect();
    nothing(&wrong);
}

#[test]
fn nothing_is_left_to_do() {
    let mut wrong = Vec::new();
    for source in written() {
        for (line, number) in source.text.lines().zip(1..) {
            wrong.extend(
                LEFT_TO_DO
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{number}: {word}", source.path)),
            );
        }
    }
    nothing(&wrong);
}

#[test]
fn nothing_points_outside_of_a_clone() {
    let mut wrong = Vec::new();
    for source in written() {
        for (line, number) in source.text.lines().zip(1..) {
            let outside = ELSEWHERE.iter().filter(|place| line.contains(*place));
            wrong.extend(outside.map(|place| format!("{}:{number}: {place}", source.path)));
        }
    }
    nothing(&wrong);
}

#[test]
fn names_say_something() {
    let mut wrong = Vec::new();
    for source in sources() {
        for keyword in ["struct ", "enum ", "trait ", "type "] {
            for line in source
                .text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                let Some((before, rest)) = line.split_once(keyword) else {
                    continue;
                };
                let declared = before.trim().is_empty() || before.trim_start().starts_with("pub");
                let name = first_word(rest);
                if declared && EMPTY_WORDS.iter().any(|word| name.ends_with(word)) {
                    wrong.push(format!("{}: {name}", source.path));
                }
            }
        }
    }
    nothing(&wrong);
}

/// One word, two files: `protocol/produce.rs` says what is said, `broker/handlers/produce.rs` what is done.
#[test]
fn every_api_has_a_handler_of_its_name() {
    let handlers = root().join("src/broker/handlers");
    if !handlers.exists() {
        return;
    }
    let apis: Vec<String> = files("src/protocol", &["rs"])
        .iter()
        .filter(|source| source.code().contains("impl Api for"))
        .filter_map(|source| {
            source
                .path
                .strip_prefix("src/protocol/")?
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    assert!(apis.len() >= 11, "the APIs are found: {apis:?}");
    let wrong: Vec<String> = apis
        .into_iter()
        .filter(|api| !handlers.join(format!("{api}.rs")).exists() && !handlers.join(api).is_dir())
        .map(|api| format!("src/broker/handlers/{api}.rs is missing"))
        .collect();
    nothing(&wrong);
}

#[test]
fn only_the_zookeeper_module_knows_paths() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.module() != Some("zookeeper"))
    {
        let known = ZNODES.iter().filter(|path| source.code().contains(*path));
        wrong.extend(known.map(|path| format!("{}: {path}", source.path)));
    }
    nothing(&wrong);
}

/// The log can be understood and tested without a network, the protocol without a disk.
#[test]
fn the_lower_floors_are_synchronous() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|source| matches!(source.module(), Some("message" | "protocol" | "log")))
        .filter(|source| source.code().contains("tokio::"))
        .map(|source| format!("{} uses tokio", source.path))
        .collect();
    nothing(&wrong);
}

/// The filter in a line that runs tests, or that gives the variable its value which such a line has.
fn filter_in(line: &str) -> Option<&str> {
    let run = line.split_once("--test it ");
    let (_, rest) = run.or_else(|| line.split_once("wanted="))?;
    let name = rest.split([' ', '$']).next()?.trim_matches('"');
    (!name.is_empty()).then_some(name)
}

/// Which tests a script runs is a part of their names, which must not be left behind when they get others.
#[test]
fn scripts_run_tests_that_exist() {
    let tests = files("tests/it", &["rs"]);
    let named = |wanted: &str| {
        tests.iter().any(|test| {
            let module = test.path.trim_start_matches("tests/it/").trim_end_matches(".rs");
            let of_module = format!("{}::", module.replace('/', "::"));
            let of_test = |name: &str| test.text.contains(&format!("\n#[test]\nfn {name}()"));
            of_module.starts_with(wanted) || wanted.strip_prefix(&of_module).is_some_and(of_test)
        })
    };
    let mut wrong = Vec::new();
    let mut filters = 0;
    let mut scripts = files("scripts", &["sh"]);
    scripts.retain(|script| script.text.contains("--test it "));
    for script in scripts {
        for wanted in script.text.lines().filter_map(filter_in) {
            filters += 1;
            if !named(wanted) {
                wrong.push(format!("{} runs {wanted}, which is no test", script.path));
            }
        }
    }
    assert_eq!(
        filters, 4,
        "the filters of chaos.sh, faults.sh and, twice, overload.sh are found"
    );
    nothing(&wrong);
}

/// The targets that `fuzz.sh` runs are listed once more where it builds them.
#[test]
fn every_fuzz_target_has_a_file() {
    let manifest = fs::read_to_string(root().join("tests/fuzz/Cargo.toml")).unwrap();
    let listed = manifest.lines().filter_map(|line| line.strip_prefix("name = \""));
    let mut listed: Vec<_> = listed.map(|line| line.trim_end_matches('"')).collect();
    listed.retain(|name| *name != "gregor-fuzz");
    listed.sort_unstable();
    let targets = files("tests/fuzz/fuzz_targets", &["rs"]);
    let names: Vec<_> = targets
        .iter()
        .map(|target| target.path.rsplit('/').next().unwrap().trim_end_matches(".rs"))
        .collect();
    assert_eq!(listed, names);
}

#[test]
fn scripts_stop_at_the_first_error() {
    let scripts: Vec<Source> = files("scripts", &["sh"])
        .into_iter()
        .chain(files(".ci", &[""]))
        .collect();
    assert!(scripts.len() >= 3, "the scripts are found");
    let wrong: Vec<String> = scripts
        .iter()
        .filter(|script| !script.text.contains("\nset -euo pipefail\n"))
        .map(|script| format!("{} lacks `set -euo pipefail`", script.path))
        .collect();
    nothing(&wrong);
}
