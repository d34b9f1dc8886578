use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;

/// The value of a series, as it is written.
fn value(text: &str, series: &str) -> Option<String> {
    let line = text
        .lines()
        .find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series))?;
    line.rsplit_once(' ').map(|(_, value)| value.to_owned())
}

fn marks(local: Duration) -> Marks {
    let received = Instant::now();
    let handled = received + local;
    Marks {
        received,
        started: received,
        handled,
        ready: handled,
        writing: handled,
        written: handled,
    }
}

#[test]
fn a_topic_counts_for_itself_and_for_all() {
    let metrics = Metrics::new();
    metrics.topics().topic("orders").appended(3, 100);
    metrics.topics().topic("orders").appended(1, 10);
    metrics.topics().topic("views").appended(5, 7);
    let text = metrics.render();
    let name = "kafka_server_brokertopicmetrics_messagesin_total";
    assert_eq!(value(&text, name).as_deref(), Some("9"));
    assert_eq!(
        value(&text, &format!("{name}{{topic=\"orders\"}}")).as_deref(),
        Some("4")
    );
    let bytes = "kafka_server_brokertopicmetrics_bytesin_total{topic=\"views\"}";
    assert_eq!(value(&text, bytes).as_deref(), Some("7"));
    let failed = "kafka_server_brokertopicmetrics_failedfetchrequests_total{topic=\"views\"}";
    assert_eq!(
        value(&text, failed).as_deref(),
        Some("0"),
        "known topics start at 0"
    );
}

#[test]
fn the_series_of_a_partition_ends_with_the_partition() {
    let metrics = Metrics::new();
    let present = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&present);
    metrics.register_collector(move |scrape| {
        if asked.load(Ordering::Relaxed) {
            scrape.gauge(
                names::LOG_SIZE,
                &[("topic", "orders"), ("partition", "0")],
                42_u64,
            );
        }
    });
    let series = "kafka_log_log_size{topic=\"orders\",partition=\"0\"}";
    assert_eq!(value(&metrics.render(), series).as_deref(), Some("42"));
    assert_eq!(value(&metrics.render(), series).as_deref(), Some("42"));
    present.store(false, Ordering::Relaxed);
    assert_eq!(value(&metrics.render(), series), None);
}

#[test]
fn a_fetch_counts_twice_and_its_times_are_split() {
    let metrics = Metrics::new();
    metrics
        .requests()
        .record(RequestKind::FetchFollower, &marks(Duration::from_millis(8)));
    let text = metrics.render();
    for (request, count) in [("Fetch", "1"), ("FetchFollower", "1"), ("FetchConsumer", "0")] {
        let requests = format!("kafka_network_requestmetrics_requests_total{{request=\"{request}\"}}");
        assert_eq!(value(&text, &requests).as_deref(), Some(count));
        let times = format!("kafka_network_requestmetrics_localtimems_count{{request=\"{request}\"}}");
        assert_eq!(value(&text, &times).as_deref(), Some(count));
    }
    let quantile = |name: &str| {
        let series =
            format!("kafka_network_requestmetrics_{name}{{request=\"FetchFollower\",quantile=\"0.999\"}}");
        value(&text, &series).unwrap().parse::<f64>().unwrap()
    };
    assert!((8.0..9.0).contains(&quantile("localtimems")));
    assert!((8.0..9.0).contains(&quantile("totaltimems")));
    assert!(quantile("remotetimems") < 0.001);
    let bucket = |le| {
        format!(
            "kafka_network_request_duration_seconds_bucket{{request=\"Fetch\",phase=\"local\",le=\"{le}\"}}"
        )
    };
    assert_eq!(value(&text, &bucket("0.005")).as_deref(), Some("0"));
    assert_eq!(value(&text, &bucket("0.01")).as_deref(), Some("1"));
    assert_eq!(value(&text, &bucket("+Inf")).as_deref(), Some("1"));
}

#[test]
fn every_name_is_exported_in_one_block() {
    let metrics = Metrics::new();
    metrics
        .requests()
        .record(RequestKind::Produce, &marks(Duration::from_millis(1)));
    metrics.register_collector(|scrape| scrape.gauge(names::LEADER_COUNT, &[], 0));
    let text = metrics.render();
    let mut seen = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(seen.insert(line.split(' ').next().unwrap()), "{line} twice");
    }
    for expected in [
        "process_cpu_seconds_total",
        "process_start_time_seconds",
        "kafka_build_info",
    ] {
        assert!(seen.contains(expected), "{expected}");
    }
    for name in &seen {
        let name = *name;
        assert!(
            names::ALL.iter().any(|metric| metric.name == name),
            "{name} has no constant"
        );
    }
}

#[test]
fn a_level_falls_when_its_guards_are_dropped() {
    let metrics = Metrics::new();
    let waiting = &metrics.replication().waiting_fetches;
    let guards = [waiting.enter(), waiting.enter()];
    let series = "kafka_server_fetchrequestpurgatory_purgatorysize";
    assert_eq!(value(&metrics.render(), series).as_deref(), Some("2"));
    drop(guards);
    assert_eq!(value(&metrics.render(), series).as_deref(), Some("0"));
}

/// Status line, headers and body of an answer.
async fn ask(server: SocketAddr, request: &str) -> (String, String) {
    let mut socket = TcpStream::connect(server).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn paths_are_told_apart() {
    let ready = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ready);
    let readiness = move || {
        if asked.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err("recovering".into())
        }
    };
    let server = Server::bind("127.0.0.1:0", Metrics::new(), readiness)
        .await
        .unwrap()
        .unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async { drop(stopped.await) }));

    let (head, body) = ask(address, "GET /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4\r\n"),
        "{head}"
    );
    assert!(body.contains("kafka_network_connections 0"));
    assert!(ask(address, "GET /healthz").await.0.starts_with("HTTP/1.1 200"));
    let (head, body) = ask(address, "GET /readyz").await;
    assert!(
        head.starts_with("HTTP/1.1 503") && body == "recovering\n",
        "{head}\n{body}"
    );
    ready.store(true, Ordering::Relaxed);
    assert!(ask(address, "GET /readyz").await.0.starts_with("HTTP/1.1 200"));
    assert!(ask(address, "GET /").await.0.starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics").await.0.starts_with("HTTP/1.1 405"));

    drop(stop);
    running.await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_and_an_empty_address_means_off() {
    let first = Server::bind("127.0.0.1:0", Metrics::new(), || Ok(()))
        .await
        .unwrap()
        .unwrap();
    let taken = first.local_addr().unwrap().to_string();
    let error = Server::bind(&taken, Metrics::new(), || Ok(())).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {taken} for metrics"));
    assert!(
        Server::bind("", Metrics::new(), || Ok(()))
            .await
            .unwrap()
            .is_none()
    );
}
