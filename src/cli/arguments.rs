//! Reading arguments with the habits of 0.8's tools: `--topic x`, `--topic=x`, `-topic x` and unique prefixes of an
//! option are the same, and the value of an option may look like an option (`--request-required-acks -1`).
//!
//! The parser underneath knows one way only, `--topic=x`, into which everything is brought first.

use std::ffi::OsString;

use structopt::StructOpt;
use structopt::clap::App;
use structopt::clap::ErrorKind;

use super::Command;
use super::Failure;
use super::VERSION;
use crate::broker::config::nearest;

/// What the arguments ask for.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Something to do.
    Command(Command),
    /// Something to be told.
    Text(String),
}

/// Whether an option has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Optional,
    Required,
}

/// An option of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Switch {
    name: &'static str,
    value: Value,
}

/// Reads all arguments; the first of them is the program's name.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Failure> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let words: Vec<String> = arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let app = Command::clap();
    let mut help = "gregor --help lists all commands".to_owned();
    match words.get(1..).unwrap_or_default() {
        [version] | [_, version] if matches!(version.as_str(), "--version" | "-V") => {
            return Ok(Parsed::Text(format!("gregor {VERSION}")));
        }
        [name, ..] if !name.starts_with('-') && name != "help" && name != "run-as-child" => {
            let command = find_command(&app, name)?;
            help = format!("gregor {name} --help lists its options");
            let rest = arguments.split_off(2);
            arguments.extend(normalise(&switches(command), rest, &help)?);
        }
        _ => {}
    }
    let matches = match app.get_matches_from_safe(arguments) {
        Ok(matches) => matches,
        Err(error) => return told(error.kind, &error.message, help),
    };
    Ok(Parsed::Command(Command::from_clap(&matches)))
}

/// What the parser has to say: help that was asked for, or the first line of a complaint.
fn told(kind: ErrorKind, message: &str, help: String) -> Result<Parsed, Failure> {
    match kind {
        ErrorKind::HelpDisplayed | ErrorKind::MissingArgumentOrSubcommand => {
            Ok(Parsed::Text(message.to_owned()))
        }
        ErrorKind::VersionDisplayed => Ok(Parsed::Text(String::new())),
        _ => {
            // Everything up to the usage; a list of missing options is spread over lines.
            let complaint = message.split("\n\nUSAGE").next().unwrap_or(message);
            let words: Vec<&str> = complaint
                .trim_start_matches("error:")
                .split_whitespace()
                .collect();
            Err(Failure::new(words.join(" "), help))
        }
    }
}

fn find_command<'a>(
    app: &'a App<'static, 'static>,
    name: &str,
) -> Result<&'a App<'static, 'static>, Failure> {
    let commands = &app.p.subcommands;
    commands
        .iter()
        .find(|command| command.get_name() == name)
        .ok_or_else(|| {
            // The hidden one is for this program's own use.
            let names = ["server", "dev", "console-producer", "console-consumer", "topics"];
            let hint = match nearest(name, &names) {
                Some(near) => format!("did you mean gregor {near}? gregor --help lists all commands"),
                None => "gregor --help lists all commands".to_owned(),
            };
            Failure::new(format!("there is no command {name}"), hint)
        })
}

fn switches(command: &App<'static, 'static>) -> Vec<Switch> {
    let flags = command.p.flags.iter().filter_map(|flag| flag.s.long);
    let flags = flags.chain(["help"]).map(|name| Switch {
        name,
        value: Value::None,
    });
    let options = command.p.opts.iter().filter_map(|option| {
        let value = match option.v.min_vals {
            Some(0) => Value::Optional,
            _ => Value::Required,
        };
        Some(Switch {
            name: option.s.long?,
            value,
        })
    });
    flags.chain(options).collect()
}

/// Brings the words after a command into the one form.
fn normalise(known: &[Switch], words: Vec<OsString>, help: &str) -> Result<Vec<OsString>, Failure> {
    let mut normal = Vec::with_capacity(words.len());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        // Whatever is not text can only be a value.
        let text = word.to_str().unwrap_or_default();
        let name = text
            .strip_prefix("--")
            .or_else(|| text.strip_prefix('-'))
            .unwrap_or_default();
        if name.is_empty() || matches!(text, "-h" | "-V") {
            let rest_is_verbatim = text == "--";
            normal.push(word);
            if rest_is_verbatim {
                normal.extend(words.by_ref());
            }
            continue;
        }
        let (name, given) = match name.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (name, None),
        };
        let switch = find_switch(known, name, help)?;
        let value = match (switch.value, given) {
            (Value::None, _) => None,
            (_, Some(value)) => Some(value),
            (Value::Required, None) => words.next(),
            (Value::Optional, None) => words.next_if(|next| !next.to_string_lossy().starts_with('-')),
        };
        let mut option = OsString::from(format!("--{}", switch.name));
        if let Some(value) = value {
            option.push("=");
            option.push(value);
        }
        normal.push(option);
    }
    Ok(normal)
}

fn find_switch(known: &[Switch], name: &str, help: &str) -> Result<Switch, Failure> {
    if let Some(exact) = known.iter().find(|switch| switch.name == name) {
        return Ok(*exact);
    }
    let mut longer = known.iter().filter(|switch| switch.name.starts_with(name));
    match (longer.next(), longer.next()) {
        (Some(only), None) => Ok(*only),
        (Some(one), Some(other)) => Err(Failure::new(
            format!("--{name} could be --{} or --{}", one.name, other.name),
            help,
        )),
        (None, _) => {
            let names: Vec<&'static str> = known.iter().map(|switch| switch.name).collect();
            let hint = match nearest(name, &names) {
                Some(near) => format!("did you mean --{near}? {help}"),
                None => help.to_owned(),
            };
            Err(Failure::new(format!("there is no option --{name}"), hint))
        }
    }
}

#[cfg(test)]
mod tests;
