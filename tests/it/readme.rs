//! What the README tells people to type is run as it is printed.
//!
//! Each ```sh block of README.md follows an HTML comment that says how it is run:
//! - `<!-- run NAME -->`: in a shell, in the order of the page. All blocks of one NAME share a network of their own, in
//!   which the default ports are free, and a folder that looks like a fresh clone.
//! - `<!-- run NAME until TEXT -->`: the block does not end by itself (a server). It runs in the background; the test
//!   goes on when it has printed TEXT, and sends it Ctrl-C after NAME's last block.
//! - `<!-- not run: REASON -->`.
//!
//! The blocks of the NAME `cluster` find three Java brokers there, and the folder is also that of Kafka 0.8.2 on the
//! machine of the first.
//!
//! A plain ``` block right after `<!-- prints -->` is what the block before it prints: each of its lines must occur in
//! the output, in this order; `…` in a line stands for anything, a line of only `…` for any lines.

mod java_brokers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use self::java_brokers::JavaBrokers;
use crate::support::Need;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::namespace::Network;
use crate::support::process::Running;
use crate::support::process::run;
use crate::support::project;
use crate::support::scratch;

/// Enough for anything a README should ask of somebody who waits for it.
const LIMIT: Duration = Duration::from_secs(120);

/// The blocks that find Java brokers.
const AMONG_JAVA_BROKERS: &str = "cluster";

/// How long a block in the background may take to stop.
const STOP: Duration = Duration::from_secs(20);

/// How a block is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    Run { name: String, until: Option<String> },
    NotRun,
}

/// One block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    line: usize,
    how: How,
    commands: String,
    prints: Vec<String>,
}

/// The text inside an HTML comment that is alone on its line.
fn comment(line: &str) -> Option<&str> {
    line.trim()
        .strip_prefix("<!--")?
        .strip_suffix("-->")
        .map(str::trim)
}

fn how(comment: &str) -> Option<How> {
    if comment.starts_with("not run: ") {
        return Some(How::NotRun);
    }
    let run = comment.strip_prefix("run ")?;
    Some(match run.split_once(" until ") {
        Some((name, until)) => How::Run {
            name: name.to_owned(),
            until: Some(until.to_owned()),
        },
        None => How::Run {
            name: run.to_owned(),
            until: None,
        },
    })
}

/// The blocks of a page; an error for one that does not say how it is run.
fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut before = None;
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = comment(line);
            }
            continue;
        };
        let inside: Vec<&str> = lines
            .by_ref()
            .map(|(line, _)| line)
            .take_while(|line| *line != "```")
            .collect();
        match (language, before.take()) {
            ("sh" | "console" | "bash", mark) => {
                let how = mark
                    .and_then(how)
                    .ok_or(format!("line {number}: say how this block is run"))?;
                blocks.push(Block {
                    line: number,
                    how,
                    commands: inside.join("\n"),
                    prints: Vec::new(),
                });
            }
            (_, Some("prints")) => {
                let block = blocks
                    .last_mut()
                    .ok_or(format!("line {number}: printed by what?"))?;
                block.prints = inside.into_iter().map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    Ok(blocks)
}

/// Whether a line has the pieces between the ellipses, in order.
fn fits(line: &str, pattern: &str) -> bool {
    let mut rest = line.trim_end();
    let mut pieces = pattern.trim_end().split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else {
        return false;
    };
    rest = after;
    let mut last = None;
    for piece in pieces {
        last = Some(piece);
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    last.map_or(rest.is_empty(), |piece| {
        piece.is_empty() || line.trim_end().ends_with(piece)
    })
}

/// The first of the lines that is missing from the output.
fn missing<'a>(output: &str, prints: &'a [String]) -> Option<&'a str> {
    let mut lines = output.lines();
    prints
        .iter()
        .map(String::as_str)
        .filter(|pattern| *pattern != "…")
        .find(|pattern| !lines.any(|line| fits(line, pattern)))
}

/// A folder that looks like a fresh clone in which everything is built.
fn clone_of_the_project() -> tempfile::TempDir {
    let folder = scratch("clone");
    for entry in std::fs::read_dir(project()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name != "target" && name != ".git" && name != "gregor-data" {
            std::os::unix::fs::symlink(entry.path(), folder.path().join(name)).unwrap();
        }
    }
    folder
}

/// A block's shell: `gregor` is the binary under test, wherever the block looks for it.
fn shell(network: &Network, folder: &Path, block: &Block) -> Command {
    let gregor = Path::new(env!("CARGO_BIN_EXE_gregor"));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = network.command("bash");
    command
        .args(["-euo", "pipefail", "-c", &block.commands])
        .current_dir(folder);
    command.env("PATH", format!("{}:{path}", gregor.parent().unwrap().display()));
    command
        .env("GREGOR_BINARY", gregor)
        .env("GREGOR_HOME", folder.join("gregor-data"));
    command.env_remove("CI");
    command
}

/// A reader sees when it is there; what it prints says only that it begins.
fn wait_for_zookeeper(network: &Network) {
    let asked = "exec 3<> /dev/tcp/127.0.0.1/2181 && echo srvr >&3 && grep Mode <&3";
    eventually("ZooKeeper answers", LIMIT, || {
        // One that is only beginning may take the question and never answer.
        let mut command = network.command("timeout");
        command.args(["5", "bash", "-c", asked]);
        let answer = run(command, b"", LIMIT);
        if answer.status.success() {
            Ok(())
        } else {
            Err(answer.account())
        }
    });
}

#[test]
fn every_block_of_the_readme_runs_as_printed() {
    if !have(&[
        Need::Gregor,
        Need::Reference,
        Need::ZooKeeper,
        Need::Kcat,
        Need::Curl,
        Need::Namespaces,
    ]) {
        return;
    }
    let page = std::fs::read_to_string(project().join("README.md")).expect("there is a README.md");
    let blocks = blocks(&page).unwrap();
    assert!(
        blocks.iter().any(|block| block.how != How::NotRun),
        "at least one block is run"
    );
    let mut stories: BTreeMap<String, Vec<(Block, Option<String>)>> = BTreeMap::new();
    for block in blocks {
        if let How::Run { name, until } = block.how.clone() {
            stories.entry(name).or_default().push((block, until));
        }
    }
    for (name, blocks) in stories {
        let network = Network::new();
        let folder = clone_of_the_project();
        let java = (name == AMONG_JAVA_BROKERS).then(|| JavaBrokers::start(&network, folder.path()));
        let mut background = Vec::new();
        for (block, until) in blocks {
            let command = shell(&network, folder.path(), &block);
            let output = match until {
                None => {
                    let finished = run(command, b"", LIMIT).succeeded();
                    format!("{}{}", finished.text(), finished.stderr)
                }
                Some(until) => {
                    let running = Running::start(command, None);
                    let output = eventually("the block is ready", LIMIT, || {
                        let said =
                            String::from_utf8_lossy(&running.stdout()).into_owned() + &running.stderr();
                        if said.contains(&until) {
                            Ok(said)
                        } else {
                            Err(said)
                        }
                    });
                    background.push(running);
                    if block.commands.contains("zkServer.sh") {
                        wait_for_zookeeper(&network);
                    }
                    output
                }
            };
            if let Some(line) = missing(&output, &block.prints) {
                panic!(
                    "{name}, block at line {}: {line:?} was not printed: {output}",
                    block.line
                );
            }
        }
        for running in background.into_iter().rev() {
            // Whoever runs the tests in the background may have an interrupt ignored, which Java goes by.
            running.signal(Signal::TERM);
            running.wait(STOP);
        }
        java.iter().for_each(JavaBrokers::check);
    }
}

#[test]
fn blocks_are_found_with_their_marks() {
    let page = "# T\n<!-- run first -->\n```sh\na\nb\n```\n<!-- prints -->\n```\nx\n```\n\
                <!-- run second until ready now -->\n\n```sh\nc\n```\n<!-- not run: takes hours -->\n```sh\nd\n```\n\
                ```\nnot a command\n```\n";
    let found = blocks(page).unwrap();
    let run = |name: &str, until: Option<&str>| How::Run {
        name: name.to_owned(),
        until: until.map(str::to_owned),
    };
    assert_eq!(
        found.iter().map(|block| block.how.clone()).collect::<Vec<_>>(),
        [run("first", None), run("second", Some("ready now")), How::NotRun,]
    );
    assert_eq!(found[0].commands, "a\nb");
    assert_eq!(found[0].prints, ["x"]);
    assert!(
        blocks("text\n```sh\nrm -rf /\n```\n")
            .unwrap_err()
            .contains("line 2")
    );
    assert!(blocks("<!-- a remark -->\n```sh\nls\n```\n").is_err());
}

#[test]
fn printed_lines_are_compared_with_their_ellipses() {
    let prints = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let output = "one\nready in 61 ms\ntwo\nthree\n";
    assert_eq!(
        missing(output, &prints(&["one", "ready in … ms", "…", "three"])),
        None
    );
    assert_eq!(missing(output, &prints(&["two", "one"])), Some("one"));
    assert_eq!(missing(output, &prints(&["ready in … s"])), Some("ready in … s"));
    assert_eq!(missing(output, &prints(&["tw"])), Some("tw"));
    assert_eq!(missing(output, &prints(&["t…"])), None);
}
