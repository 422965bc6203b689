//! Those who wait for connections and threads, and servers that proxies have taken out.

use super::*;

#[test]
fn who_waits_for_a_connection_or_a_thread_waits_in_a_queue() {
    let text = r#"
pgbouncer_pools_client_active_connections{database="shop",user="app"} 20
pgbouncer_pools_client_waiting_connections{database="shop",user="app"} 7
pgbouncer_pools_client_maxwait_seconds{database="shop",user="app"} 1.5
pgbouncer_pools_client_waiting_connections{database="pgbouncer",user="pgbouncer"} 0
pgbouncer_pools_client_maxwait_seconds{database="pgbouncer",user="pgbouncer"} 0
hikaricp_connections_pending{application="checkout",pool="HikariPool-1"} 3
hikaricp_connections{application="checkout",pool="HikariPool-1"} 10
db_client_connections_pending_requests{pool_name="main"} 4
db_client_connection_pending_requests{db_client_connection_pool_name="reports"} 5
executor_queued_tasks{name="applicationTaskExecutor"} 6
tube_current_jobs_ready{tube="mail"} 11
tube_current_jobs_reserved{tube="mail"} 2
tube_current_jobs_buried{tube="mail"} 1
tube_current_watching{tube="mail"} 3
"#;
    let queue = |name: &str, group: Option<&str>, depth: f64| (name.to_owned(), group.map(str::to_owned), Some(depth), None, None, None);
    let found = queues(&[text]);
    for expected in [
        ("shop".to_owned(), Some("app".to_owned()), Some(7.0), Some(1.5), None, None),
        queue("pgbouncer", Some("pgbouncer"), 0.0),
        queue("checkout HikariPool-1", None, 3.0),
        queue("exporter main", None, 4.0),
        queue("exporter reports", None, 5.0),
        queue("exporter applicationTaskExecutor", None, 6.0),
        ("mail".to_owned(), None, Some(13.0), None, Some(3.0), Some(1.0)),
    ] {
        assert!(found.contains(&expected), "{expected:?} of {found:#?}");
    }
    assert_eq!(found.len(), 7);
}

#[test]
fn a_server_that_a_proxy_has_taken_out_is_an_open_breaker() {
    let caddy = "caddy_reverse_proxy_upstreams_healthy{upstream=\"10.0.0.1:80\"} 1\n\
                 caddy_reverse_proxy_upstreams_healthy{upstream=\"10.0.0.2:80\"} 0\n";
    assert_eq!(breakers(&[caddy]), [breaker("caddy", "10.0.0.1:80", "closed"), breaker("caddy", "10.0.0.2:80", "open")]);
    let varnish = |was_up: u8, asked_for: u8| {
        format!(
            "varnish_backend_up{{backend=\"app\",server=\"unknown\"}} 1\n\
             varnish_backend_up{{backend=\"gone\",server=\"unknown\"}} {was_up}\n\
             varnish_backend_up{{backend=\"never\",server=\"unknown\"}} 0\n\
             varnish_backend_up{{backend=\"refused\",server=\"unknown\"}} 0\n\
             varnish_backend_unhealthy{{backend=\"never\",server=\"unknown\"}} 0\n\
             varnish_backend_unhealthy{{backend=\"refused\",server=\"unknown\"}} {asked_for}\n"
        )
    };
    let expected = [
        breaker("varnish", "app", "closed"),
        breaker("varnish", "gone", "open"),
        breaker("varnish", "never", "unknown"),
        breaker("varnish", "refused", "open"),
    ];
    assert_eq!(breakers(&[&varnish(1, 0), &varnish(0, 3)]), expected);
}

#[test]
fn consumers_say_how_far_they_are_behind_where_no_exporter_does() {
    let own = "kafka_consumer_records_lag{client_id=\"c-1\",topic=\"orders\",partition=\"0\"} 4\n\
               kafka_consumer_records_lag{client_id=\"c-2\",topic=\"orders\",partition=\"1\"} 5\n\
               kafka_consumer_fetch_manager_records_lag{application=\"billing\",client_id=\"c-3\",topic=\"bills\",partition=\"0\"} 7\n\
               kafka_consumer_fetch_manager_records_lag{application=\"billing\",client_id=\"c-3\",topic=\"none\",partition=\"0\"} NaN\n";
    let queue = |name: &str, group: &str, depth: f64| (name.to_owned(), Some(group.to_owned()), Some(depth), None, None, None);
    assert_eq!(queues(&[own]), [queue("bills", "billing", 7.0), queue("orders", "exporter", 9.0)]);
    let exporter = "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"orders\",partition=\"0\"} 9\n";
    assert_eq!(queues(&[&format!("{own}{exporter}")]), [queue("orders", "g", 9.0)]);
}
