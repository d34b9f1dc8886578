//! `gregor console-consumer`: messages to standard output.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use structopt::StructOpt;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Failure;
use super::brokers::BrokerList;
use super::brokers::REQUEST_TIMEOUT;
use super::logging;
use super::runtime;
use super::signals::Signals;
use crate::client::ConsumerConfig;
use crate::client::Record;
use crate::client::Retry;
use crate::client::SimpleConsumer;
use crate::protocol::list_offsets::OffsetSpec;

/// Long enough that waiting costs next to nothing, short enough that a leader's move is soon noticed.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Bytes fetched from a partition at a time.
const FETCH_BYTES: i32 = 1024 * 1024;

/// The largest message that is read.
const FETCH_BYTES_MAX: i32 = 256 * 1024 * 1024;

/// Age at which is asked for new partitions.
const METADATA_AGE_MAX: Duration = Duration::from_secs(30);

/// How long a new topic may take to have leaders.
const RETRY: Retry = Retry {
    retries: 100,
    backoff: Duration::from_millis(100),
};

/// Prints the messages of a topic, without a group
#[derive(Debug, StructOpt)]
#[structopt(
    after_help = "Properties: print.key=true prints the key and key.separator (a tab) before the value; \
                          line.separator stands behind it."
)]
pub(super) struct ConsoleConsumer {
    /// The topic to read.
    #[structopt(long)]
    topic: String,
    /// Brokers to ask first, as host:port,host:port [default: localhost:9092]
    #[structopt(long, conflicts_with = "zookeeper")]
    broker_list: Option<BrokerList>,
    /// Where to find the brokers instead: host:port,host:port/chroot of ZooKeeper.
    #[structopt(long)]
    zookeeper: Option<String>,
    /// Start with the oldest message instead of the next one.
    #[structopt(long)]
    from_beginning: bool,
    /// End after so many messages.
    #[structopt(long, value_name = "messages")]
    max_messages: Option<u64>,
    /// End when no message has come for so long.
    #[structopt(long, value_name = "ms")]
    timeout_ms: Option<u64>,
    /// How messages are printed, as key=value; may be repeated.
    #[structopt(long = "property", value_name = "key=value", number_of_values = 1)]
    properties: Vec<String>,
}

impl ConsoleConsumer {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        logging::start(tracing::Level::WARN);
        let format = MessageFormat::new(&self.properties)?;
        runtime::block_on(None, async move {
            let mut signals = Signals::listen()?;
            let mut consumed = 0;
            let ended = tokio::select! {
                ended = self.consume(&format, &mut consumed) => ended,
                stop = signals.next() => Ok(stop.exit_code()),
            };
            if ended.is_ok() || consumed > 0 {
                eprintln!("Consumed {consumed} messages");
            }
            ended
        })
    }

    async fn consume(self, format: &MessageFormat, consumed: &mut u64) -> Result<ExitCode, Failure> {
        let brokers = match (&self.zookeeper, self.broker_list) {
            (Some(connect), _) => BrokerList::from_zookeeper(connect).await?,
            (None, given) => given.unwrap_or_else(BrokerList::local),
        };
        let start = if self.from_beginning {
            OffsetSpec::Earliest
        } else {
            OffsetSpec::Latest
        };
        let config = ConsumerConfig {
            start,
            max_wait: MAX_WAIT,
            fetch_bytes: FETCH_BYTES,
            fetch_bytes_max: FETCH_BYTES_MAX,
            request_timeout: REQUEST_TIMEOUT,
            metadata_age_max: METADATA_AGE_MAX,
            retry: RETRY,
        };
        let cluster = Arc::new(brokers.connect("console-consumer", REQUEST_TIMEOUT).await?);
        let mut consumer = SimpleConsumer::open(cluster, &self.topic, config).await?;
        let patience = self.timeout_ms.map_or(Duration::MAX, Duration::from_millis);
        let limit = self.max_messages.unwrap_or(u64::MAX);
        let mut output = tokio::io::stdout();
        while *consumed < limit {
            let Ok(records) = timeout(patience, consumer.poll()).await else {
                break;
            };
            let mut text = Vec::new();
            let mut printed = 0;
            for record in records?
                .iter()
                .take(usize::try_from(limit - *consumed).unwrap_or(usize::MAX))
            {
                format.print(record, &mut text);
                printed += 1;
            }
            if let Err(error) = write(&mut output, &text).await {
                return match error.kind() {
                    // Whoever read has seen enough. As 0.8.2.2 does, this is no success (ConsoleConsumer.checkErr).
                    io::ErrorKind::BrokenPipe => Ok(ExitCode::FAILURE),
                    _ => Err(Failure::new(
                        format!("write standard output: {error}"),
                        "make room there",
                    )),
                };
            }
            *consumed += printed;
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn write(output: &mut tokio::io::Stdout, text: &[u8]) -> io::Result<()> {
    output.write_all(text).await?;
    output.flush().await
}

/// How a message becomes text (DefaultMessageFormatter).
#[derive(Debug, PartialEq, Eq)]
struct MessageFormat {
    print_key: bool,
    key_separator: String,
    line_separator: String,
}

impl MessageFormat {
    fn new(properties: &[String]) -> Result<Self, Failure> {
        let mut format = Self {
            print_key: false,
            key_separator: "\t".to_owned(),
            line_separator: "\n".to_owned(),
        };
        for property in properties {
            match property.split_once('=').unwrap_or((property, "")) {
                ("print.key", value) => format.print_key = value.trim().eq_ignore_ascii_case("true"),
                ("key.separator", value) => format.key_separator = value.to_owned(),
                ("line.separator", value) => format.line_separator = value.to_owned(),
                (other, _) => {
                    let hint = "the properties are print.key, key.separator and line.separator";
                    return Err(Failure::new(format!("there is no property {other}"), hint));
                }
            }
        }
        Ok(format)
    }

    /// Bytes as they are; what is null reads `null`.
    fn print(&self, record: &Record, text: &mut Vec<u8>) {
        if self.print_key {
            text.extend_from_slice(record.key.as_deref().unwrap_or(b"null"));
            text.extend_from_slice(self.key_separator.as_bytes());
        }
        text.extend_from_slice(record.value.as_deref().unwrap_or(b"null"));
        text.extend_from_slice(self.line_separator.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn printed(properties: &[&str], key: Option<&'static str>, value: Option<&'static str>) -> String {
        let properties: Vec<String> = properties.iter().map(|text| (*text).to_owned()).collect();
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let record = Record {
            partition: 0,
            offset: 0,
            key: key.map(bytes),
            value: value.map(bytes),
        };
        let mut text = Vec::new();
        MessageFormat::new(&properties).unwrap().print(&record, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn messages_are_printed_as_the_reference_prints_them() {
        assert_eq!(printed(&[], Some("k"), Some("v")), "v\n");
        assert_eq!(printed(&["print.key=true"], Some("k"), Some("v")), "k\tv\n");
        assert_eq!(printed(&["print.key=true"], None, None), "null\tnull\n");
        let properties = ["print.key=true", "key.separator==", "line.separator=|"];
        assert_eq!(printed(&properties, Some(""), Some("v")), "=v|");
    }

    #[test]
    fn unknown_properties_are_refused() {
        assert!(MessageFormat::new(&["print.keys=true".to_owned()]).is_err());
    }
}
