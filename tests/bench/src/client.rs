//! A client that sends bytes as they are, so that a load costs as little as it can.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use watchfire_otlp::RawCodec;

/// Requests under way on one connection.
const IN_FLIGHT: usize = 8;
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What became of the requests of a load.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub accepted: usize,
    /// Refused with the wish to try again; tried again after the pause that the server asked for.
    pub refused: usize,
}

/// When a load is over.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Requests(usize),
    Time(Instant),
}

/// Sends one request after the other, from number `first` on, some at a time over one connection. What is refused for now is sent again until
/// it is accepted.
///
/// # Panics
/// When a request is refused for good.
pub async fn load(channel: &Channel, data: &Arc<Vec<Bytes>>, encoding: Option<CompressionEncoding>, first: usize, until: Until) -> Sent {
    let next = Arc::new(AtomicUsize::new(first));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (channel, data, next) = (channel.clone(), data.clone(), next.clone());
        senders.spawn(async move {
            let mut grpc = tonic::client::Grpc::new(channel);
            if let Some(encoding) = encoding {
                grpc = grpc.send_compressed(encoding);
            }
            let mut sent = Sent::default();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let over = match until {
                    Until::Requests(requests) => index >= first + requests,
                    Until::Time(end) => Instant::now() >= end,
                };
                if over {
                    return sent;
                }
                loop {
                    grpc.ready().await.expect("connected");
                    let path = http::uri::PathAndQuery::from_static(EXPORT);
                    match grpc.unary(tonic::Request::new(data[index % data.len()].clone()), path, RawCodec).await {
                        Ok(_) => break sent.accepted += 1,
                        Err(status) if status.code() == tonic::Code::Unavailable => {
                            sent.refused += 1;
                            // A client waits before it tries again.
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                        Err(status) => panic!("refused for good: {status}"),
                    }
                }
            }
        });
    }
    let mut all = Sent::default();
    while let Some(sent) = senders.join_next().await {
        let sent = sent.expect("no panic");
        all.accepted += sent.accepted;
        all.refused += sent.refused;
    }
    all
}

/// Sends one request each `every`, on time on the whole, until it is dropped. What is refused for now is not sent again.
///
/// # Panics
/// When a request is refused for good.
pub async fn paced(channel: &Channel, data: &[Bytes], every: Duration) {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    let mut slots = tokio::time::interval(every);
    for message in data.iter().cycle() {
        slots.tick().await;
        grpc.ready().await.expect("connected");
        let path = http::uri::PathAndQuery::from_static(EXPORT);
        match grpc.unary(tonic::Request::new(message.clone()), path, RawCodec).await {
            Ok(_) => {}
            Err(status) if status.code() == tonic::Code::Unavailable => {}
            Err(status) => panic!("refused for good: {status}"),
        }
    }
}
