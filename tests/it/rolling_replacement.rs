//! A cluster of Java brokers becomes one of Gregor's, and one of Java brokers again: under load, one broker at a time,
//! each with its id, its address and its data directories. Nobody who produces or consumes is restarted or loses anything.

mod cluster;
mod load;
mod progress;

use std::time::Instant;

use crate::support::Need;
use crate::support::broker::Kind;
use crate::support::have;
use crate::support::report;

use self::cluster::BROKERS;
use self::cluster::Cluster;
use self::load::Load;

#[test]
fn brokers_are_replaced_one_by_one_under_load_and_back() {
    if !have(&[Need::Reference, Need::Python, Need::Gregor]) {
        return;
    }
    let started = Instant::now();
    let mut cluster = Cluster::start("rolling", Kind::Reference);
    let mut load = Load::start(&cluster);
    load.goes_on();
    for kind in [Kind::Gregor, Kind::Reference] {
        for broker in 0..BROKERS {
            cluster.replace(broker, kind);
            load.goes_on();
            // Whoever was replaced leads again, and is followed by brokers of either kind.
            cluster.elect_preferred_leaders();
            load.goes_on();
        }
    }
    let (messages, pause) = load.finish(&cluster);
    cluster.wait_for_equal_logs();
    cluster.verify_logs();
    cluster.assert_sound_hand_overs();
    report(&format!(
        "{messages} messages acknowledged while three brokers were replaced and back, {:.0} s; longest pause in a partition \
         {pause}",
        started.elapsed().as_secs_f64()
    ));
}
