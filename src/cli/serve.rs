//! Running a broker in this process until it is asked to stop, or must.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::error;
use tracing::info;
use tracing::warn;

use super::Failure;
use super::signals::Signals;
use crate::broker::Broker;
use crate::broker::StartError;
use crate::broker::Summary;
use crate::broker::config::BrokerConfig;
use crate::broker::config::Loaded;
use crate::broker::hint_about;
use crate::broker::preflight;
use crate::broker::preflight::Severity;
use crate::shutdown::Reason;
use crate::shutdown::Trigger;

/// How long stopping may take; container runtimes kill after this time.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Logs what is odd about a configuration and a machine; what would stop the start is a failure.
pub(super) async fn prepare(loaded: Loaded) -> Result<BrokerConfig, Failure> {
    for note in &loaded.notes {
        info!("{note}");
    }
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let config = loaded.config.clone();
    // It resolves names and reads directories.
    let findings = tokio::task::spawn_blocking(move || preflight::check(&config)).await;
    let findings = findings.map_err(|error| Failure::of(&error, None))?;
    let (wrong, odd): (Vec<_>, Vec<_>) = findings
        .into_iter()
        .partition(|finding| finding.severity == Severity::Error);
    for finding in odd {
        warn!("{}; {}", finding.what, finding.hint);
    }
    match Failure::of_findings(wrong) {
        Some(failure) => Err(failure),
        None => Ok(loaded.config),
    }
}

/// Runs a broker until a signal, until it fails for good, or until `lost` says that something it needs is gone. A
/// second signal ends it at once.
pub(super) async fn serve(
    config: BrokerConfig,
    signals: &mut Signals,
    ready: impl FnOnce(&Summary),
    lost: impl Future<Output = Failure>,
) -> Result<(), Failure> {
    let trigger = Trigger::new();
    // Not read off the trigger: a start that fails pulls it, too.
    let wish = Wish::default();
    let life = live(config, &trigger, &wish, ready);
    let limit = async {
        let mut stopping = trigger.signal();
        tokio::select! {
            stop = signals.next() => {
                info!("{stop:?}: stopping; once more stops at once");
                wish.utter(&trigger);
            }
            failure = lost => stopping.fail(failure),
            () = stopping.requested() => {}
        }
        tokio::select! {
            _ = signals.next() => "stopped by a second signal".to_owned(),
            () = tokio::time::sleep(STOP_LIMIT) => format!("not stopped within {} s", STOP_LIMIT.as_secs()),
        }
    };
    let result = tokio::select! {
        result = Box::pin(life) => result,
        why = limit => Err(Failure::new(why, "the next start checks the ends of all logs, which takes longer")),
    };
    match (trigger.reason(), result) {
        // What came first is what a person should look at.
        (Some(Reason::Failed(cause)), result) => {
            if let Err(failure) = result {
                error!("not stopped cleanly: {}", failure.to_string().replace('\n', "; "));
            }
            let known = cause.downcast_ref::<Failure>().cloned();
            Err(known.unwrap_or_else(|| Failure::of(&*cause, hint_about(&*cause))))
        }
        (_, result) => result,
    }
}

/// That somebody wants the broker to stop.
#[derive(Default)]
struct Wish {
    uttered: Cell<bool>,
    /// Whether there is a broker that has something to do before.
    running: Cell<bool>,
    heard: Notify,
}

impl Wish {
    fn utter(&self, trigger: &Trigger) {
        self.uttered.set(true);
        if self.running.get() {
            self.heard.notify_one();
        } else {
            trigger.stop();
        }
    }
}

async fn live(
    config: BrokerConfig,
    trigger: &Trigger,
    wish: &Wish,
    ready: impl FnOnce(&Summary),
) -> Result<(), Failure> {
    let places = config.places.clone();
    let failure = |error: StartError| {
        let failure = Failure::of(&error, error.hint());
        match error.keys() {
            [] => failure,
            keys => failure.at(&places.of(keys)),
        }
    };
    let mut stopping = trigger.signal();
    // What operators of 0.8 look for in their logs.
    let server = format!("[Kafka Server {}]", config.id);
    info!("{server}, starting");
    let broker = match Broker::start(config, trigger).await {
        Ok(broker) => broker,
        // Being asked to stop before being ready is no failure.
        Err(error) if wish.uttered.get() => {
            info!("{server}, not started: {error}");
            return Ok(());
        }
        Err(error) => return Err(failure(error)),
    };
    let summary = broker.summary();
    let (id, advertised) = (summary.id, &summary.advertised);
    info!("Awaiting socket connections on {}.", summary.bound);
    info!("Registered broker {id} at path /brokers/ids/{id} with address {advertised}.");
    info!("{server}, started");
    ready(summary);
    wish.running.set(true);
    let asked = async {
        wish.heard.notified().await;
        info!("{server}, Starting controlled shutdown");
        broker.leave().await;
    };
    tokio::select! {
        () = asked => {}
        () = stopping.requested() => {}
    }
    info!("{server}, shutting down");
    trigger.stop();
    broker.stop().await.map_err(failure)?;
    info!("{server}, shut down completed");
    Ok(())
}
