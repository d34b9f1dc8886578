//! The configuration: from a `server.properties` of 0.8.2.2, `KAFKA_*` variables and overrides to typed values.
//!
//! Always holds: only this folder knows how keys are spelled; a [`BrokerConfig`] exists only if every value was right;
//! nothing here opens a socket, asks a name server or looks at a data directory.

mod build;
mod checks;
mod foreign;
mod keys;
mod origin;
mod places;
mod problems;
pub mod properties;
mod sections;
mod sources;
mod values;

pub(crate) use foreign::nearest;
pub use origin::Origin;
pub use places::Places;
pub use problems::Problem;
pub use problems::Problems;
pub use sections::AdvertisedConfig;
pub use sections::BrokerConfig;
pub use sections::CompressionConfig;
pub use sections::ControlledShutdownConfig;
pub use sections::ControllerConfig;
pub use sections::ElectionPolicy;
pub use sections::LogDefaults;
pub use sections::LogsConfig;
pub use sections::MetricsConfig;
pub use sections::NamedBy;
pub use sections::NetworkConfig;
pub use sections::OffsetsCodec;
pub use sections::OffsetsConfig;
pub use sections::ReplicationConfig;
pub use sections::TopicsConfig;
pub use sections::ZooKeeperAuth;
pub use sections::ZooKeeperConfig;
pub use sources::MalformedOverride;
pub use sources::Sources;
pub use sources::parse_override;

use sources::Settings;
use values::Reader;

/// A configuration without mistakes, and what there is to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The values.
    pub config: BrokerConfig,
    /// One line for everything that was given and does not do what it seems to.
    pub warnings: Vec<String>,
    /// One line for everything that was given and is in force.
    pub notes: Vec<String>,
}

impl BrokerConfig {
    /// Reads all sources; finds everything that is wrong at once.
    pub fn load(sources: Sources) -> Result<Loaded, Problems> {
        let settings = Settings::read(sources).map_err(|problem| Problems {
            all: vec![problem],
            warnings: Vec::new(),
        })?;
        let mut reader = Reader::new(&settings);
        let config = build::build(&mut reader);
        checks::across(&mut reader, &config);
        let mut all = reader.into_problems();
        if !all.is_empty() {
            all.sort_by_key(|problem| problem.origin.line());
            return Err(Problems {
                all,
                warnings: checks::about_keys(&settings),
            });
        }
        let warnings = checks::warnings(&settings, &config);
        let notes = checks::notes(&settings, &config);
        Ok(Loaded {
            config,
            warnings,
            notes,
        })
    }
}

/// The value of a key in another file of this syntax; `None` also for one that cannot be read.
pub(crate) fn property(file: &[u8], key: &str) -> Option<String> {
    let properties = properties::parse(file).ok()?;
    let last = properties.into_iter().rfind(|property| property.key == key)?;
    Some(last.value.trim().to_owned())
}

#[cfg(test)]
mod tests;
