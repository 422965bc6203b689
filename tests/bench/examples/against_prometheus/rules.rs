//! Fifty rules as teams write them, in five groups.

use std::fmt::Write as _;

pub const RULES: usize = 50;
const GROUPS: usize = 5;

/// What is measured, and from when on it is a problem.
type Condition = (String, &'static str);

/// The conditions of all rules.
pub fn conditions() -> Vec<Condition> {
    let mut all: Vec<Condition> = Vec::new();
    let mut add = |measured: &str, limit| all.push((measured.to_owned(), limit));
    let errors = r#"sum by (service) (rate(http_requests_total{code=~"5.."}[1m])) / sum by (service) (rate(http_requests_total[1m]))"#;
    add(errors, "> 0.5");
    add(
        r#"sum by (service, pod) (rate(http_requests_total{code="500"}[1m])) / sum by (service, pod) (rate(http_requests_total[1m]))"#,
        "> 0.6",
    );
    add(r#"sum(rate(http_requests_total{code=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))"#, "> 0.5");
    for (q, limit) in [("0.5", "> 9"), ("0.9", "> 9.9"), ("0.95", "> 9.9"), ("0.99", "> 9.99")] {
        add(&format!("histogram_quantile({q}, sum by (service, le) (rate(http_request_duration_seconds_bucket[1m])))"), limit);
    }
    add("histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))", "> 9.99");
    add(
        "sum by (service) (rate(http_request_duration_seconds_sum[1m])) / sum by (service) (rate(http_request_duration_seconds_count[1m]))",
        "> 1.6",
    );
    add("sum by (service) (rate(http_requests_total[1m]))", "< 100");
    add("sum by (service) (increase(http_requests_total[1m]))", "< 10000");
    add("sum by (code) (rate(http_requests_total[1m]))", "> 40000");
    add(r#"sum by (service) (rate(http_requests_total{code="404"}[1m]))"#, "> 2500");
    add("sum(rate(http_requests_total[1m]))", "< 1000");
    add("count by (service) (process_cpu_seconds_total)", "< 50");
    add("max by (service) (queue_depth)", "> 158");
    add("sum by (queue) (queue_depth)", "> 200000");
    add("avg by (queue) (queue_depth)", "> 120");
    add("max by (service, queue) (queue_oldest_seconds)", "> 158.5");
    add("avg by (service, queue) (avg_over_time(queue_depth[1m]))", "> 120");
    add("max by (service) (max_over_time(queue_depth[1m]))", "> 159");
    add("min by (service) (min_over_time(queue_depth[1m]))", "< 20");
    add("sum by (service, queue) (rate(queue_published_total[1m])) / sum by (service, queue) (rate(queue_consumed_total[1m]))", "> 1.5");
    add("sum by (queue) (rate(queue_published_total[1m])) - sum by (queue) (rate(queue_consumed_total[1m]))", "> 2000");
    add("sum by (queue) (queue_depth) / sum by (queue) (rate(queue_consumed_total[1m]))", "> 6");
    add("sum by (service) (rate(queue_consumed_total[1m]))", "< 100");
    add("sum by (service, operation) (rate(db_queries_total[1m]))", "> 2000");
    add("sum by (service) (rate(db_errors_total[1m])) / sum by (service) (rate(db_queries_total[1m]))", "> 0.5");
    add("db_pool_in_use / db_pool_size", "> 0.79");
    add("max by (service) (db_pool_in_use / db_pool_size)", "> 0.79");
    add("sum by (service) (db_pool_in_use) / sum by (service) (db_pool_size)", "> 0.6");
    add(
        "sum by (service) (rate(cache_hits_total[1m])) / (sum by (service) (rate(cache_hits_total[1m])) + sum by (service) (rate(cache_misses_total[1m])))",
        "< 0.4",
    );
    add("sum(rate(cache_misses_total[1m]))", "> 50000");
    add("process_resident_memory_bytes / process_memory_limit_bytes", "> 0.795");
    add("max by (service) (process_resident_memory_bytes / process_memory_limit_bytes)", "> 0.795");
    add("sum by (service) (rate(process_cpu_seconds_total[1m]))", "> 2000");
    add("rate(process_cpu_seconds_total[1m])", "> 50");
    add("process_open_fds", "> 159");
    add("max by (service) (process_open_fds)", "> 159");
    add("avg_over_time(process_open_fds[1m])", "> 139");
    add("disk_free_bytes / disk_size_bytes", "< 0.1");
    add("min by (service, mount) (disk_free_bytes / disk_size_bytes)", "< 0.1");
    add("predict_linear(disk_free_bytes[1m], 3600)", "< -5000");
    add("delta(disk_free_bytes[1m])", "< -38");
    add("max by (service, breaker) (breaker_state)", "> 159");
    add("sum by (breaker) (breaker_state)", "> 200000");
    add("changes(breaker_state[1m])", "> 60");
    add("count(up == 0)", "> 0");
    add("sum by (job) (up)", "< 5");
    add("quantile by (service) (0.9, queue_oldest_seconds)", "> 150");
    assert_eq!(all.len(), RULES);
    all
}

/// A rule file.
pub fn file() -> String {
    let mut out = String::from("groups:\n");
    let conditions = conditions();
    for (number, group) in conditions.chunks(RULES / GROUPS).enumerate() {
        let _ = writeln!(out, "- name: group-{number}\n  interval: 5s\n  rules:");
        for (place, (measured, limit)) in group.iter().enumerate() {
            let name = number * group.len() + place;
            let _ = writeln!(
                out,
                "  - alert: Rule{name}\n    expr: '{measured} {limit}'\n    for: 10s\n    labels: {{ severity: warning }}\n    annotations: {{ summary: '{{{{ $labels.service }}}} is at {{{{ $value | humanize }}}}' }}"
            );
        }
    }
    out
}
