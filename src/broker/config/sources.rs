//! Where settings come from: a file, `KAFKA_*` variables and overrides, in rising precedence, and which of them won.
//!
//! Always holds: every setting knows its origin, so that a message about it can name the place to change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::origin::Origin;
use super::problems::Problem;
use super::properties;

/// Variables that begin like settings but speak to start scripts, images or a JVM. The first list is that of the
/// usual container image; the second is read by the scripts themselves.
const NOT_SETTINGS: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HOME",
    "KAFKA_DEBUG",
    "KAFKA_LOG",
    "KAFKA_CREATE_TOPICS",
    "KAFKA_CREATE_TOPICS_SEPARATOR",
];

/// Variables that tune a JVM.
const JVM_ONLY: &[&str] = &[
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "JMX_PORT",
];

/// Everything a configuration is made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The `server.properties`, if there is one.
    pub file: Option<PathBuf>,
    /// Environment variables; those that are no settings are skipped.
    pub environment: Vec<(String, String)>,
    /// Settings of the command line; the last one of a key counts.
    pub overrides: Vec<(String, String)>,
}

impl Sources {
    /// A file and overrides, with the variables of this process.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Self {
            file,
            environment: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            overrides,
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Without blanks around it.
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// The settings of all sources, each key once, in alphabetical order.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) by_key: BTreeMap<String, Setting>,
    /// The file they were read from.
    pub(crate) file: Option<Arc<Path>>,
    /// Variables that were left alone, for one line in the log each.
    pub(crate) notes: Vec<String>,
}

impl Settings {
    /// Reads the file and lays the other sources over it.
    pub(crate) fn read(sources: Sources) -> Result<Self, Problem> {
        let mut settings = Self::default();
        if let Some(path) = sources.file {
            let path: Arc<Path> = path.into();
            settings.add_file(&path)?;
            settings.file = Some(path);
        }
        settings.add_environment(sources.environment);
        for (key, value) in sources.overrides {
            settings.add(&key, &value, Origin::Override);
        }
        Ok(settings)
    }

    fn add_file(&mut self, path: &Arc<Path>) -> Result<(), Problem> {
        let bytes = fs::read(path).map_err(|error| Problem {
            what: "the configuration file cannot be read".to_owned(),
            value: error.to_string(),
            origin: Origin::File(Arc::clone(path)),
            hint: "name an existing server.properties, or none at all to start on defaults".to_owned(),
        })?;
        let properties = properties::parse(&bytes).map_err(|error| Problem {
            what: "the configuration file is malformed".to_owned(),
            value: error.to_string(),
            origin: Origin::Line(Arc::clone(path), error.line),
            hint: "write a backslash as \\\\, or give \\u exactly four hexadecimal digits".to_owned(),
        })?;
        for property in properties {
            let origin = Origin::Line(Arc::clone(path), property.line);
            self.add(&property.key, &property.value, origin);
        }
        Ok(())
    }

    fn add_environment(&mut self, mut environment: Vec<(String, String)>) {
        // The order of an environment means nothing; sorted, two variables of one key do not take turns.
        environment.sort();
        for (name, value) in environment {
            match Variable::of(&name, &value) {
                Variable::Setting(key) => self.add(&key, &value, Origin::Variable(name)),
                Variable::Ignored(why) => self.notes.push(format!("{name} is ignored: {why}")),
                Variable::Foreign => {}
            }
        }
    }

    fn add(&mut self, key: &str, value: &str, origin: Origin) {
        let value = value.trim().to_owned();
        self.by_key
            .insert(key.trim().to_owned(), Setting { value, origin });
    }
}

/// What an environment variable is to a broker.
#[derive(Debug, PartialEq, Eq)]
enum Variable {
    Setting(String),
    Ignored(&'static str),
    Foreign,
}

impl Variable {
    fn of(name: &str, value: &str) -> Self {
        if JVM_ONLY.contains(&name) {
            return Self::Ignored("it tunes a JVM, and there is none");
        }
        let Some(rest) = name.strip_prefix("KAFKA_").filter(|rest| !rest.is_empty()) else {
            return Self::Foreign;
        };
        if NOT_SETTINGS.contains(&name) || name.starts_with("KAFKA_HOME") {
            return Self::Foreign;
        }
        if is_service_link(rest, value) {
            return Self::Ignored(
                "it describes a service called kafka, as Docker links and Kubernetes set it",
            );
        }
        Self::Setting(rest.to_lowercase().replace('_', "."))
    }
}

/// Docker links and Kubernetes tell every container about a service `kafka` by `KAFKA_PORT=tcp://…` and more.
fn is_service_link(rest: &str, value: &str) -> bool {
    let port_of_service = rest
        .strip_prefix("PORT_")
        .is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
    let port = rest == "PORT" && value.contains("://");
    port_of_service || port || rest.starts_with("SERVICE_")
}

/// Why the text of an override cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an override is written key=value, not {0:?}")]
pub struct MalformedOverride(String);

/// Cuts `key=value` at the first `=`.
pub fn parse_override(text: &str) -> Result<(String, String), MalformedOverride> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(MalformedOverride(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(key: &str) -> Variable {
        Variable::Setting(key.to_owned())
    }

    #[test]
    fn variables_become_keys_as_in_the_usual_images() {
        assert_eq!(Variable::of("KAFKA_BROKER_ID", "1"), setting("broker.id"));
        assert_eq!(
            Variable::of("KAFKA_LOG_RETENTION_MS", "1"),
            setting("log.retention.ms")
        );
        assert_eq!(Variable::of("KAFKA_PORT", "9092"), setting("port"));
        assert_eq!(
            Variable::of("KAFKA_METRICS_LISTEN", ""),
            setting("metrics.listen")
        );
        assert_eq!(Variable::of("KAFKA_LOG_DIRS", "/data"), setting("log.dirs"));
        assert_eq!(Variable::of("kafka_port", "1"), Variable::Foreign);
        assert_eq!(Variable::of("KAFKA_", "1"), Variable::Foreign);
        assert_eq!(Variable::of("PATH", "/bin"), Variable::Foreign);
    }

    #[test]
    fn variables_of_scripts_and_jvms_are_no_settings() {
        for name in NOT_SETTINGS.iter().chain(&["KAFKA_HOME_DIR"]) {
            assert_eq!(Variable::of(name, "x"), Variable::Foreign, "{name}");
        }
        for name in JVM_ONLY {
            assert!(matches!(Variable::of(name, "x"), Variable::Ignored(_)), "{name}");
        }
        for (name, value) in [
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("KAFKA_SERVICE_HOST", "10.0.0.1"),
        ] {
            assert!(
                matches!(Variable::of(name, value), Variable::Ignored(_)),
                "{name}"
            );
        }
    }

    #[test]
    fn overrides_are_cut_at_the_first_equals_sign() {
        let pair = |k: &str, v: &str| Ok((k.to_owned(), v.to_owned()));
        assert_eq!(parse_override("port=9093"), pair("port", "9093"));
        assert_eq!(parse_override(" port =9093"), pair("port", "9093"));
        assert_eq!(parse_override("a=b=c d@e"), pair("a", "b=c d@e"));
        assert_eq!(parse_override("metrics.listen="), pair("metrics.listen", ""));
        for wrong in ["", "port", "=1", " =1"] {
            assert_eq!(parse_override(wrong), Err(MalformedOverride(wrong.to_owned())));
        }
    }
}
