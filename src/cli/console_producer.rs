//! `gregor console-producer`: lines of standard input to messages.

use std::io;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use structopt::StructOpt;
use tokio::sync::mpsc;

use super::Failure;
use super::brokers::BrokerList;
use super::brokers::REQUEST_TIMEOUT;
use super::lines;
use super::lines::Chunk;
use super::logging;
use super::runtime;
use super::signals::Signals;
use crate::client::Producer;
use crate::client::ProducerConfig;
use crate::client::Retry;
use crate::message::Codec;
use crate::protocol::produce::Acks;

/// Messages are sent when they are as large, however few they are; far below what brokers take in one request.
const BATCH_BYTES: usize = 512 * 1024;

/// How long a new topic may take to have leaders.
const TOPIC_RETRY: Retry = Retry {
    retries: 100,
    backoff: Duration::from_millis(100),
};

/// Sends every line of standard input as a message
#[derive(Debug, StructOpt)]
#[structopt(
    after_help = "Properties: parse.key=true takes what stands before key.separator (a tab) as the key; \
                          ignore.error=true sends lines without a separator as they are, without a key."
)]
pub(super) struct ConsoleProducer {
    /// The topic to write to.
    #[structopt(long)]
    topic: String,
    /// Brokers to ask first, as host:port,host:port.
    #[structopt(long, default_value = "localhost:9092")]
    broker_list: BrokerList,
    /// none, gzip, snappy or lz4; gzip if no codec is named.
    #[structopt(long, value_name = "codec")]
    compression_codec: Option<Option<CodecName>>,
    /// Who must have a message: 0 nobody, 1 the leader, -1 all in-sync replicas.
    #[structopt(long, value_name = "acks", default_value = "1")]
    request_required_acks: AcksName,
    /// How long the leader may wait for the other replicas.
    #[structopt(long, value_name = "ms", default_value = "1500")]
    request_timeout_ms: u32,
    /// Messages that are sent together if they come together.
    #[structopt(long, value_name = "messages", default_value = "200")]
    batch_size: usize,
    /// How often messages that a broker did not take are sent again.
    #[structopt(long, value_name = "retries", default_value = "30")]
    message_send_max_retries: u32,
    /// Pause before that.
    #[structopt(long, value_name = "ms", default_value = "100")]
    retry_backoff_ms: u32,
    /// Send every line by itself.
    #[structopt(long)]
    sync: bool,
    /// How lines are read, as key=value; may be repeated.
    #[structopt(long = "property", value_name = "key=value", number_of_values = 1)]
    properties: Vec<String>,
}

/// A codec by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CodecName(Codec);

impl FromStr for CodecName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let codec = Codec::from_name(name).map(CodecName);
        codec.ok_or_else(|| format!("{name} is no codec; there are none, gzip, snappy and lz4"))
    }
}

/// Acknowledgements as Kafka's users write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AcksName(Acks);

impl FromStr for AcksName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is none of 0, 1, -1 and a number of replicas");
        match text {
            "0" => Ok(Self(Acks::None)),
            "1" => Ok(Self(Acks::Leader)),
            "-1" | "all" => Ok(Self(Acks::AllInSync)),
            _ => {
                let count = text.parse().ok().filter(|count| i16::try_from(*count).is_ok());
                count.map(|count| Self(Acks::Count(count))).ok_or_else(wrong)
            }
        }
    }
}

impl ConsoleProducer {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        logging::start(tracing::Level::WARN);
        let lines = LineFormat::new(&self.properties)?;
        // One thread: there is one stream of messages.
        runtime::block_on(Some(1), async move {
            let mut signals = Signals::listen()?;
            tokio::select! {
                sent = self.produce(&lines) => sent.map(|()| ExitCode::SUCCESS),
                stop = signals.next() => Ok(stop.exit_code()),
            }
        })
    }

    fn config(&self) -> ProducerConfig {
        let codec = match self.compression_codec {
            None => Codec::None,
            Some(None) => Codec::Gzip,
            Some(Some(CodecName(codec))) => codec,
        };
        ProducerConfig {
            acks: self.request_required_acks.0,
            codec,
            batch_messages: if self.sync { 1 } else { self.batch_size },
            batch_bytes: BATCH_BYTES,
            ack_timeout: Duration::from_millis(self.request_timeout_ms.into()),
            retry: Retry {
                retries: self.message_send_max_retries,
                backoff: Duration::from_millis(self.retry_backoff_ms.into()),
            },
            topic_retry: TOPIC_RETRY,
        }
    }

    async fn produce(self, format: &LineFormat) -> Result<(), Failure> {
        let config = self.config();
        let request_timeout = REQUEST_TIMEOUT + config.ack_timeout;
        let cluster = self
            .broker_list
            .connect("console-producer", request_timeout)
            .await?;
        let mut producer = Producer::open(Arc::new(cluster), &self.topic, config).await?;
        let sent = send_all(&mut producer, lines::read_stdin(), format).await;
        // What came before a line that is wrong has been taken, and so it is sent.
        let closed = producer.close().await;
        sent?;
        Ok(closed?)
    }
}

/// Sends line by line, and whenever no more is there for the moment, what was collected.
async fn send_all(
    producer: &mut Producer,
    mut input: mpsc::Receiver<io::Result<Chunk>>,
    format: &LineFormat,
) -> Result<(), Failure> {
    let mut number = 0_u64;
    while let Some(chunk) = input.recv().await {
        let chunk = chunk.map_err(|error| {
            Failure::new(
                format!("read standard input: {error}"),
                "give it a file or a pipe",
            )
        })?;
        for line in chunk {
            number += 1;
            let (key, value) = format.split(&line, number)?;
            producer.send(key, Some(value)).await?;
        }
        if input.is_empty() {
            producer.flush().await?;
        }
    }
    Ok(())
}

/// How a line becomes a message (ConsoleProducer.LineMessageReader).
#[derive(Debug, PartialEq, Eq)]
struct LineFormat {
    /// What stands between key and value; `None` if lines have no keys.
    separator: Option<Vec<u8>>,
    ignore_error: bool,
}

impl LineFormat {
    fn new(properties: &[String]) -> Result<Self, Failure> {
        let (mut parse_key, mut ignore_error, mut separator) = (false, false, "\t");
        for property in properties {
            match property.split_once('=').unwrap_or((property, "")) {
                ("parse.key", value) => parse_key = value.trim().eq_ignore_ascii_case("true"),
                ("ignore.error", value) => ignore_error = value.trim().eq_ignore_ascii_case("true"),
                ("key.separator", value) if !value.is_empty() => separator = value,
                ("key.separator", _) => {
                    return Err(Failure::new(
                        "key.separator is empty",
                        "name one, or leave it away for a tab",
                    ));
                }
                (other, _) => {
                    let hint = "the properties are parse.key, key.separator and ignore.error";
                    return Err(Failure::new(format!("there is no property {other}"), hint));
                }
            }
        }
        let separator = parse_key.then(|| separator.as_bytes().to_vec());
        Ok(Self {
            separator,
            ignore_error,
        })
    }

    /// Key and value of a line.
    fn split<'a>(&self, line: &'a [u8], number: u64) -> Result<(Option<&'a [u8]>, &'a [u8]), Failure> {
        let Some(separator) = &self.separator else {
            return Ok((None, line));
        };
        let at = line
            .windows(separator.len())
            .position(|part| part == separator.as_slice());
        let Some((key, rest)) = at.and_then(|at| line.split_at_checked(at)) else {
            if self.ignore_error {
                return Ok((None, line));
            }
            let line = String::from_utf8_lossy(line);
            return Err(Failure::new(
                format!("No key found on line {number}: {line}"),
                "name what stands behind the key (--property key.separator=:), or add --property ignore.error=true",
            ));
        };
        Ok((Some(key), rest.strip_prefix(separator.as_slice()).unwrap_or(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(properties: &[&str]) -> Result<LineFormat, Failure> {
        LineFormat::new(
            &properties
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    fn split(
        properties: &[&str],
        line: &'static str,
    ) -> Result<(Option<&'static str>, &'static str), Failure> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let (key, value) = format(properties).unwrap().split(line.as_bytes(), 7)?;
        Ok((key.map(text), text(value)))
    }

    #[test]
    fn lines_are_values_unless_keys_are_wanted() {
        assert_eq!(split(&[], "k\tv"), Ok((None, "k\tv")));
        assert_eq!(split(&["parse.key=true"], "k\tv\tw"), Ok((Some("k"), "v\tw")));
        assert_eq!(
            split(&["parse.key=true", "key.separator=::"], "k::"),
            Ok((Some("k"), ""))
        );
        assert_eq!(
            split(&["parse.key=TRUE", "key.separator=="], "=v"),
            Ok((Some(""), "v"))
        );
    }

    #[test]
    fn a_line_without_a_key_is_told_by_number() {
        let failure = split(&["parse.key=true"], "kv").unwrap_err().to_string();
        assert!(
            failure.starts_with("error: No key found on line 7: kv\nhint: "),
            "{failure}"
        );
        assert_eq!(
            split(&["parse.key=true", "ignore.error=true"], "kv"),
            Ok((None, "kv"))
        );
    }

    #[test]
    fn acknowledgements_are_written_as_in_kafka() {
        let acks = |text: &str| text.parse::<AcksName>().map(|name| name.0).ok();
        assert_eq!(acks("0"), Some(Acks::None));
        assert_eq!(acks("1"), Some(Acks::Leader));
        assert_eq!(acks("-1"), Some(Acks::AllInSync));
        assert_eq!(acks("3"), Some(Acks::Count(3)));
        assert_eq!((acks("-2"), acks("40000"), acks("x")), (None, None, None));
    }

    #[test]
    fn unknown_properties_are_refused() {
        assert!(
            format(&["parse.keys=true"])
                .unwrap_err()
                .to_string()
                .contains("no property parse.keys")
        );
        assert!(format(&["key.separator="]).is_err());
    }
}
