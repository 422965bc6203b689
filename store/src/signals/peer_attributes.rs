//! What the attributes of a span say about the other end of its call, under their stable and their older names.

use super::peer::{Protocol, cut};
use super::{destination, failure};
use crate::spans::wire;
use watchfire_model::{AttributeValue, SpanKind, SpanView};

const SQS: &[u8] = b"aws_sqs";

/// What the attributes of one CLIENT, PRODUCER or CONSUMER span say about its peer. Text is left as bytes: only a name that is new is looked at closer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerAttributes<'a> {
    service: &'a [u8],
    old_service: &'a [u8],
    db_namespace: &'a [u8],
    db_system: &'a [u8],
    destination: &'a [u8],
    template: &'a [u8],
    routing_key: &'a [u8],
    messaging_system: &'a [u8],
    operation: &'a [u8],
    address: &'a [u8],
    old_address: &'a [u8],
    socket_address: &'a [u8],
    url: &'a [u8],
    /// Host and port as a header of the request says.
    host: &'a [u8],
    /// A function that is called by its name.
    function: &'a [u8],
    rpc_service: &'a [u8],
    rpc_method: &'a [u8],
    rpc_system: &'a [u8],
    /// Who offers a language model.
    provider: &'a [u8],
    error: &'a [u8],
    port: u32,
    /// Of HTTP.
    status: u32,
    /// Messages that one span is about, where it says so.
    messages: Option<u32>,
    http: bool,
    /// A gRPC status other than success.
    refused: bool,
}

impl<'a> PeerAttributes<'a> {
    /// Reads the few attributes that matter, under their stable and their older names (OpenTelemetry semantic conventions 1.44 and before 1.21). Into
    /// what is empty, because 200 bytes would be copied if it were returned.
    pub fn read(&mut self, span: &SpanView<'a>) {
        wire::each_attribute(span.attribute_fields(), |_| true, |key, value| self.take(key, value));
    }

    #[inline]
    fn take(&mut self, key: &[u8], value: wire::AttributeAt<'a>) {
        // By length first: most keys are none of these, and most are told by their length alone.
        let slot = match key.len() {
            7 if key == b"db.name" && self.db_namespace.is_empty() => &mut self.db_namespace,
            8 if key == b"url.full" || key == b"http.url" => &mut self.url,
            9 if key == b"db.system" && self.db_system.is_empty() => &mut self.db_system,
            9 if key == b"http.host" => &mut self.host,
            10 if key == b"rpc.system" && self.rpc_system.is_empty() => &mut self.rpc_system,
            10 if key == b"rpc.method" => &mut self.rpc_method,
            10 if key == b"error.type" => &mut self.error,
            11 if key == b"rpc.service" => &mut self.rpc_service,
            11 if key == b"net.peer.ip" && self.socket_address.is_empty() => &mut self.socket_address,
            11 if key == b"http.method" => return self.http = true,
            11 if key == b"server.port" => return self.port = port(value),
            12 if key == b"peer.service" => &mut self.old_service,
            12 if key == b"db.namespace" => &mut self.db_namespace,
            13 if key == b"celery.action" && self.messaging_system.is_empty() => return self.messaging_system = b"celery",
            13 if key == b"gen_ai.system" && self.provider.is_empty() => &mut self.provider,
            13 if key == b"net.peer.name" => &mut self.old_address,
            13 if key == b"net.peer.port" => return self.port = port(value),
            14 if key == b"server.address" => &mut self.address,
            14 if key == b"db.system.name" => &mut self.db_system,
            15 if key == b"rpc.system.name" => &mut self.rpc_system,
            15 if key == b"rpc.status_code" => return self.refused = failure::is_grpc_failure(value),
            16 if key == b"grpc.status_code" => return self.refused = failure::is_grpc_failure(value),
            16 if key == b"messaging.system" => &mut self.messaging_system,
            16 if key == b"http.status_code" => return self.status = failure::status(value),
            17 if key == b"faas.invoked_name" => &mut self.function,
            17 if key == b"service.peer.name" => &mut self.service,
            17 if key == b"bullmq.queue.name" => {
                self.messaging_system = b"bullmq";
                &mut self.destination
            }
            18 if key == b"net.sock.peer.addr" && self.socket_address.is_empty() => &mut self.socket_address,
            19 if key == b"http.request.method" => return self.http = true,
            19 if key == b"messaging.operation" && self.operation.is_empty() => &mut self.operation,
            20 if key == b"rpc.grpc.status_code" => return self.refused = failure::is_grpc_failure(value),
            20 if key == b"gen_ai.provider.name" => &mut self.provider,
            20 if key == b"network.peer.address" => &mut self.socket_address,
            21 if key == b"messaging.destination" && self.destination.is_empty() => &mut self.destination,
            24 if key == b"rpc.response.status_code" => return self.refused = failure::is_grpc_failure(value),
            24 if key == b"messaging.operation.type" => &mut self.operation,
            25 if key == b"http.response.status_code" => return self.status = failure::status(value),
            26 if key == b"messaging.destination.name" => &mut self.destination,
            29 if key == b"messaging.batch.message_count" => return self.messages = Some(messages(value.any())),
            30 if key == b"messaging.destination.template" => &mut self.template,
            30 if key == b"messaging.rabbitmq.routing_key" => &mut self.routing_key,
            42 if key == b"messaging.rabbitmq.destination.routing_key" => &mut self.routing_key,
            _ => return,
        };
        if let Some(text) = value.text() {
            *slot = text;
        }
    }

    #[inline]
    pub fn protocol(&self, kind: SpanKind) -> Protocol {
        if kind == SpanKind::Consumer {
            Protocol::Messaging
        } else if !self.db_system.is_empty() || !self.db_namespace.is_empty() {
            if is_cache(self.db_system) { Protocol::Cache } else { Protocol::Database }
        } else if kind == SpanKind::Producer || !self.destination.is_empty() || !self.messaging_system.is_empty() && !self.is_aws() {
            Protocol::Messaging
        } else if !self.rpc_system.is_empty() || !self.rpc_service.is_empty() {
            Protocol::Grpc
        } else if self.http || !self.url.is_empty() {
            Protocol::Http
        } else {
            Protocol::Call
        }
    }

    /// Whether it says what went wrong, as the conventions ask of an operation that failed and of no other, or that the server failed.
    #[inline]
    pub fn states_error(&self) -> bool {
        !self.error.is_empty() || self.status >= failure::SERVER_ERROR || self.refused
    }

    #[inline]
    pub fn of_bullmq(&self) -> bool {
        self.messaging_system == b"bullmq"
    }

    /// Whether the call fetches messages or says what became of them. Such a client publishes nothing, and no other service answers it.
    #[inline]
    pub fn consumes(&self) -> bool {
        // The conventions have two words for it; libraries of before say what they do by the method (`ack` and `modack` of Google's Pub/Sub).
        matches!(self.operation, b"receive" | b"settle" | b"ack" | b"nack" | b"modack") || self.is_aws_call_about_queue()
    }

    /// A call to AWS that names no queue, as one that makes or lists them, is a call like those to its other services.
    #[inline]
    fn is_aws(&self) -> bool {
        self.rpc_system == b"aws-api"
    }

    /// SDKs of AWS name the queue in every call that has to do with it, and not all state an operation: those of Python say what they do by the method alone.
    #[inline]
    fn is_aws_call_about_queue(&self) -> bool {
        const HAND_OVER: [&[u8]; 3] = [b"Send", b"Publish", b"Put"];
        let unsaid = self.operation.is_empty() && self.is_aws() && !self.destination.is_empty();
        let method = self.rpc_method.rsplit(|b| *b == b'/').next().unwrap_or_default();
        unsaid && !method.is_empty() && !HAND_OVER.iter().any(|verb| method.starts_with(verb))
    }

    /// Whether an internal span is a query: it names a system, and where that is.
    #[cold]
    pub fn goes_to_store(span: &SpanView<'_>) -> bool {
        let mut attributes = PeerAttributes::default();
        attributes.read(span);
        !attributes.db_system.is_empty() && attributes.states_address()
    }

    /// Whether what is called within the span is the broker, and not what messages are worked on with.
    #[inline]
    pub fn fetches(&self, kind: SpanKind) -> bool {
        let receives = self.operation == b"receive" && (kind == SpanKind::Client || self.messaging_system == SQS);
        receives || kind == SpanKind::Client && self.is_aws_call_about_queue()
    }

    /// Whether the call hands over messages, each of which may have a span of its own that created it.
    #[inline]
    pub fn sends(&self) -> bool {
        matches!(self.operation, b"send" | b"publish")
    }

    /// Takes the queue that a consumer of RabbitMQ is named after, where its attributes name the exchange and the routing key only, as those of amqplib
    /// and of Java do.
    #[inline]
    pub fn take_queue(&mut self, name: &'a [u8]) -> bool {
        const DOING: [&[u8]; 2] = [b" process", b" receive"];
        if self.messaging_system != b"rabbitmq" {
            return false;
        }
        let Some(queue) = DOING.into_iter().find_map(|doing| name.strip_suffix(doing)) else { return false };
        let told = queue.is_empty() || queue.starts_with(b"<") || [self.destination, self.routing_key].contains(&queue);
        if !told {
            (self.destination, self.routing_key) = (b"", queue);
        }
        !told
    }

    /// Whether it asked for messages and got none. Those who ask SQS are asked to wait and to ask again, and not every SDK says how many came.
    #[inline]
    pub fn comes_back_empty(&self, span: &SpanView<'_>) -> bool {
        let unsaid = self.messages.is_none() && self.messaging_system == SQS && span.links.is_empty() && span.parent_id.is_zero();
        self.consumes() && (self.messages == Some(0) || unsaid)
    }

    /// How many messages the span is about, where that is more than one.
    #[inline]
    pub fn batch(&self) -> Option<u32> {
        self.messages.filter(|messages| *messages > 1)
    }

    /// Whether a consumer works on messages of a queue that it names. One that only fetched them is followed by others that do.
    #[inline]
    pub fn processes(&self) -> bool {
        !self.destination().is_empty() && !self.consumes()
    }

    /// The queue or topic: of many that are made alike the one name they share, and of RabbitMQ's default exchange the queue that the routing key names.
    #[inline]
    fn destination(&self) -> &'a [u8] {
        if !self.template.is_empty() {
            return self.template;
        }
        // The broker gives each client a queue of its own for answers, and so do libraries.
        const OWN: [&[u8]; 3] = [b"amq.gen", b"amq.rabbitmq.reply-to", b"spring.gen"];
        let without_own = |name: &'a [u8]| OWN.into_iter().find(|own| name.starts_with(own)).unwrap_or(name);
        if !self.routing_key.is_empty() && matches!(self.destination, b"" | b"<default>" | b"(default)" | b"amq.default") {
            return without_own(self.routing_key);
        }
        // aio-pika has producers say `exchange,key`, and consumers the exchange, or the key where it has no name.
        match self.destination.iter().position(|b| *b == b',').filter(|_| self.messaging_system == b"rabbitmq") {
            Some(0) => &self.destination[1..],
            Some(comma) => &self.destination[..comma],
            None if self.messaging_system == b"servicebus" => destination::of_subscription(self.destination),
            None if self.messaging_system == b"rabbitmq" => without_own(destination::short(self.destination)),
            None => destination::short(self.destination),
        }
    }

    /// The peer's name by precedence, with a port where the name is an address: the destination of messages, stated service, database, function, address,
    /// provider of a language model, RPC service. What a messaging client states as its service is the broker, in which the destination is one queue among others.
    #[inline]
    pub(super) fn name(&self, protocol: Protocol) -> (&'a [u8], u32) {
        let destination = self.destination();
        if protocol == Protocol::Messaging && !destination.is_empty() {
            return (destination, 0);
        }
        for stated in [self.service, self.old_service] {
            if !stated.is_empty() {
                return (stated, 0);
            }
        }
        if matches!(protocol, Protocol::Database | Protocol::Cache) {
            // A bare number is a database index of a cache, not a name.
            let numbered = self.db_namespace.iter().all(u8::is_ascii_digit);
            return (if numbered && !self.db_system.is_empty() { self.db_system } else { self.db_namespace }, 0);
        }
        if !destination.is_empty() {
            return (destination, 0);
        }
        // What is called is the function, and not the interface of its cloud.
        if !self.function.is_empty() {
            return (self.function, 0);
        }
        let told = [self.address, self.old_address].into_iter().find(|address| !address.is_empty()).unwrap_or_default();
        // What is told may be no more than the socket knows; the URL says what was asked for. Where no socket came about, both must come to one name.
        let ((host, port), socket) = (authority(self.url), (self.socket_address, self.port));
        let (name, port) = match (told.is_empty(), host.is_empty()) {
            (_, false) if told.is_empty() || told == self.socket_address => (host, port),
            (false, _) => (told, self.port),
            (true, _) if !self.host.is_empty() => host_and_port(self.host),
            (true, _) => socket,
        };
        if name.is_empty() {
            (if self.provider.is_empty() { self.rpc_service() } else { self.provider }, 0)
        } else {
            (name, if matches!(port, 80 | 443) { 0 } else { port })
        }
    }

    /// Whether the name of a peer is that of a service.
    pub(super) fn states_service(&self) -> bool {
        !self.service.is_empty() || !self.old_service.is_empty()
    }

    /// Whether the caller was told where the peer is, by whatever name; the other end of its socket it has found out.
    pub(super) fn states_address(&self) -> bool {
        !self.address.is_empty() || !self.old_address.is_empty()
    }

    /// Where the URL of a call leads to, with the port that its scheme stands for.
    pub(super) fn place_of_url(&self) -> (&'a [u8], u32) {
        let (host, port) = authority(self.url);
        let of_scheme = [(&b"http://"[..], 80), (b"https://", 443)].into_iter().find(|(scheme, _)| self.url.starts_with(scheme));
        (cut(host), if port == 0 { of_scheme.map_or(0, |(_, port)| port) } else { port })
    }

    /// Where the peer is: address and port, zero where that is not known.
    #[inline]
    pub(super) fn place(&self) -> (&'a [u8], u32) {
        let address = [self.address, self.old_address, self.socket_address].into_iter().find(|a| !a.is_empty()).unwrap_or_default();
        (cut(address), self.port)
    }

    /// The service of an RPC: stated, or before the slash of a fully qualified method.
    fn rpc_service(&self) -> &'a [u8] {
        if !self.rpc_service.is_empty() {
            return self.rpc_service;
        }
        self.rpc_method.iter().rposition(|b| *b == b'/').map(|slash| &self.rpc_method[..slash]).unwrap_or_default()
    }

    pub(super) fn system(&self) -> &'a [u8] {
        [self.db_system, self.messaging_system, self.rpc_system].into_iter().find(|n| !n.is_empty()).unwrap_or_default()
    }
}

#[inline]
fn port(value: wire::AttributeAt<'_>) -> u32 {
    value.small_number().unwrap_or_else(|| number(value.any()).filter(|port| *port < 65_536).unwrap_or(0))
}

/// Messages of a batch. One span that claims more than ten thousand is not believed beyond that.
fn messages(any: &[u8]) -> u32 {
    number(any).unwrap_or(0).min(10_000)
}

fn number(any: &[u8]) -> Option<u32> {
    match wire::scalar(any) {
        AttributeValue::Int(number) => u32::try_from(number).ok(),
        _ => None,
    }
}

/// Host and port of a URL; zero where it states no port.
pub(super) fn authority(url: &[u8]) -> (&[u8], u32) {
    let Some(scheme) = url.windows(3).take(12).position(|w| w == b"://") else { return (&[], 0) };
    let authority = url[scheme + 3..].split(|b| matches!(b, b'/' | b'?' | b'#')).next().unwrap_or_default();
    host_and_port(authority.rsplit(|b| *b == b'@').next().unwrap_or_default())
}

/// The parts of `host:port`, `host`, `[::1]:port` or `[::1]`; zero where there is no port.
pub(super) fn host_and_port(place: &[u8]) -> (&[u8], u32) {
    let port = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u16>().ok();
    let stated = place.iter().rposition(|b| *b == b':').and_then(|colon| Some((&place[..colon], port(&place[colon + 1..])?)));
    let (host, port) = stated.map_or((place, 0), |(host, port)| (host, u32::from(port)));
    (host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host), port)
}

fn is_cache(system: &[u8]) -> bool {
    const CACHES: [&[u8]; 9] =
        [b"redis", b"memcached", b"valkey", b"keydb", b"dragonfly", b"hazelcast", b"aws.elasticache", b"infinispan", b"coherence"];
    CACHES.contains(&system)
}

#[cfg(test)]
mod tests {
    use super::*;
    use watchfire_model::{Nanos, SpanId, SpanStatus, TraceId};

    #[test]
    fn the_members_of_an_attribute_have_no_order() {
        let mut body = Vec::new();
        for (key, value) in [("server.address", &b"\x0a\x04host"[..]), ("server.port", &b"\x18\x2a"[..])] {
            let mut attribute = Vec::new();
            wire::put_bytes(&mut attribute, 2, value);
            wire::put_bytes(&mut attribute, 1, key.as_bytes());
            wire::put_bytes(&mut body, 9, &attribute);
        }
        let mut attributes = PeerAttributes::default();
        attributes.read(&SpanView {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([1; 8]),
            parent_id: SpanId([1; 8]),
            name: b"",
            kind: SpanKind::Client,
            status: SpanStatus::Unset,
            start: Nanos(0),
            end: Nanos(0),
            flags: 0,
            trace_state: "",
            body: &body,
            head: 0,
            residual: None,
            attributes: (0, body.len() as u32),
            links: &[],
        });
        assert_eq!(attributes.name(Protocol::Call), (&b"host"[..], 42));
    }
}
