use super::*;

const KNOWN: [Switch; 6] = [
    Switch {
        name: "topic",
        value: Value::Required,
    },
    Switch {
        name: "sync",
        value: Value::None,
    },
    Switch {
        name: "property",
        value: Value::Required,
    },
    Switch {
        name: "partition",
        value: Value::Required,
    },
    Switch {
        name: "partitions",
        value: Value::Required,
    },
    Switch {
        name: "compression-codec",
        value: Value::Optional,
    },
];

fn normal(words: &[&str]) -> Result<Vec<String>, String> {
    let words = words.iter().map(OsString::from).collect();
    let normal = normalise(&KNOWN, words, "see help").map_err(|failure| failure.to_string())?;
    Ok(normal
        .iter()
        .map(|word| word.to_str().unwrap().to_owned())
        .collect())
}

#[test]
fn all_ways_to_write_an_option_are_one() {
    for words in [
        &["--topic", "x"][..],
        &["--topic=x"],
        &["-topic", "x"],
        &["-topic=x"],
        &["--t", "x"],
        &["-to=x"],
    ] {
        assert_eq!(normal(words).unwrap(), ["--topic=x"], "{words:?}");
    }
}

#[test]
fn values_may_look_like_options() {
    assert_eq!(normal(&["--topic", "--sync"]).unwrap(), ["--topic=--sync"]);
    assert_eq!(
        normal(&["--partition", "-1", "--sync"]).unwrap(),
        ["--partition=-1", "--sync"]
    );
    assert_eq!(normal(&["--property", "a=b=c"]).unwrap(), ["--property=a=b=c"]);
    assert_eq!(normal(&["--topic"]).unwrap(), ["--topic"]);
}

#[test]
fn an_optional_value_does_not_swallow_an_option() {
    assert_eq!(
        normal(&["--compression-codec", "--sync"]).unwrap(),
        ["--compression-codec", "--sync"]
    );
    assert_eq!(
        normal(&["--compression-codec", "lz4"]).unwrap(),
        ["--compression-codec=lz4"]
    );
}

#[test]
fn flags_ignore_values_and_words_stay_words() {
    assert_eq!(
        normal(&["-s", "a", "--sync=true", "-h"]).unwrap(),
        ["--sync", "a", "--sync", "-h"]
    );
    assert_eq!(
        normal(&["--sync", "--", "--topic", "x"]).unwrap(),
        ["--sync", "--", "--topic", "x"]
    );
}

#[test]
fn a_whole_name_wins_over_being_a_prefix() {
    assert_eq!(normal(&["--partition", "3"]).unwrap(), ["--partition=3"]);
    let ambiguous = normal(&["--p", "3"]).unwrap_err();
    assert_eq!(
        ambiguous,
        "error: --p could be --property or --partition\nhint: see help"
    );
}

#[test]
fn an_unknown_option_comes_with_the_nearest_one() {
    let unknown = normal(&["--topci", "x"]).unwrap_err();
    assert_eq!(
        unknown,
        "error: there is no option --topci\nhint: did you mean --topic? see help"
    );
    assert_eq!(
        normal(&["--zzz"]).unwrap_err(),
        "error: there is no option --zzz\nhint: see help"
    );
}

fn parsed(line: &str) -> Result<Parsed, Failure> {
    parse(
        std::iter::once("gregor")
            .chain(line.split_whitespace())
            .map(OsString::from),
    )
}

fn text(line: &str) -> String {
    match parsed(line) {
        Ok(Parsed::Text(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

fn command(line: &str) -> String {
    match parsed(line) {
        Ok(Parsed::Command(command)) => format!("{command:?}"),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn version_and_help_are_on_every_command() {
    for name in ["server", "dev", "console-producer", "console-consumer"] {
        assert_eq!(
            text(&format!("{name} --version")),
            "gregor 0.1.0 (speaks Kafka 0.8.2)"
        );
        let help = text(&format!("{name} --help"));
        assert!(
            help.contains("USAGE:\n    gregor ") && help.contains(name),
            "{help}"
        );
    }
    assert_eq!(text("--version"), "gregor 0.1.0 (speaks Kafka 0.8.2)");
    assert_eq!(text("-V"), "gregor 0.1.0 (speaks Kafka 0.8.2)");
    for line in ["--help", "-h", "help", ""] {
        let help = text(line);
        assert!(
            help.contains("console-consumer") && !help.contains("run-as-child"),
            "{line}: {help}"
        );
    }
}

#[test]
fn commands_are_read_with_the_habits_of_kafka() {
    let server = command("server --override port=1 a.properties --override=broker.id=2 --check");
    assert!(server.contains(r#"file: Some("a.properties")"#), "{server}");
    assert!(
        server.contains(r#"overrides: ["port=1", "broker.id=2"]"#),
        "{server}"
    );
    assert!(server.contains("check: true"), "{server}");
    let producer = command("console-producer -topic t --request-required-acks -1 --compression-codec --sync");
    assert!(producer.contains(r#"topic: "t""#), "{producer}");
    assert!(producer.contains("AllInSync"), "{producer}");
    assert!(producer.contains("compression_codec: Some(None), "), "{producer}");
    let producer =
        command("console-producer --topic t --compression-codec lz4 --property a=b --property c==");
    assert!(producer.contains("Some(Some(CodecName(Lz4)))"), "{producer}");
    assert!(producer.contains(r#"properties: ["a=b", "c=="]"#), "{producer}");
    let consumer = command("console-consumer --zookeeper h:1/k --topic t --from-beginning --max-messages 3");
    assert!(consumer.contains(r#"zookeeper: Some("h:1/k"), from_beginning: true, max_messages: Some(3)"#));
    let child = command("run-as-child 7 -- java -Xmx1m --help");
    assert!(
        child.contains(r#"parent: 7, command: ["java", "-Xmx1m", "--help"]"#),
        "{child}"
    );
}

#[test]
fn mistakes_are_told_in_one_line_with_one_hint() {
    for (line, what, hint) in [
        (
            "srever",
            "there is no command srever",
            "did you mean gregor server? gregor --help lists all commands",
        ),
        (
            "frob",
            "there is no command frob",
            "gregor --help lists all commands",
        ),
        (
            "console-producer --tpoic x",
            "there is no option --tpoic",
            "did you mean --topic? gregor console-producer --help lists its options",
        ),
        (
            "console-producer",
            "The following required arguments were not provided: --topic <topic>",
            "gregor console-producer --help lists its options",
        ),
        (
            "console-producer --topic t --topic u",
            "The argument '--topic <topic>' was provided more than once, but cannot be used multiple times",
            "gregor console-producer --help lists its options",
        ),
        (
            "console-producer --topic t --broker-list h",
            "Invalid value for '--broker-list <broker-list>': Please provide valid host:port like host1:9091,host2:9092",
            "gregor console-producer --help lists its options",
        ),
        (
            "--verbose",
            "Found argument '--verbose' which wasn't expected, or isn't valid in this context",
            "gregor --help lists all commands",
        ),
    ] {
        let failure = parsed(line).unwrap_err().to_string();
        assert_eq!(failure, format!("error: {what}\nhint: {hint}"));
    }
}
