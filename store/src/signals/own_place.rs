//! Where a service is called, as the attributes of its server spans say: the other way to know whose an address is, for services that nobody calls who
//! sends spans, as the first ones behind a browser.

use super::peer::cut;
use super::peer_attributes::{authority, host_and_port};
use crate::spans::wire::{self, AnyText, Wire};
use watchfire_model::{AttributeValue, SpanView};

/// Host and port; an empty host or a zero where that is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OwnPlace<'a> {
    pub host: &'a [u8],
    pub port: u32,
}

impl<'a> OwnPlace<'a> {
    /// What the attributes of a server span say under their stable and older names: `server.address` and `server.port`, `net.host.name` and
    /// `net.host.port`, `http.host`, or the URL (OpenTelemetry semantic conventions 1.44 and before 1.21).
    #[cold]
    pub fn read(span: &SpanView<'a>) -> Self {
        let (mut told, mut of_header, mut of_url) = (OwnPlace::default(), OwnPlace::default(), OwnPlace::default());
        let (mut port, mut scheme) = (0, &b""[..]);
        for field in wire::Fields::new(span.attribute_fields()) {
            let (9, Wire::Bytes(message)) = field else { continue };
            let (key, value) = wire::key_value(message);
            let text = || match wire::text(value) {
                AnyText::Text(text) => text,
                _ => &b""[..],
            };
            match key {
                b"server.address" => told.host = text(),
                b"net.host.name" if told.host.is_empty() => told.host = text(),
                b"server.port" | b"net.host.port" => port = number(value),
                b"http.host" => of_header = host_and_port(text()).into(),
                b"url.full" | b"http.url" => of_url = authority(text()).into(),
                b"url.scheme" | b"http.scheme" => scheme = text(),
                _ => {}
            }
        }
        let found = [told, of_header, of_url].into_iter().find(|place| !place.host.is_empty()).unwrap_or_default();
        let of_scheme = [(&b"http"[..], 80), (b"https", 443)].into_iter().find(|(name, _)| *name == scheme).map_or(0, |(_, port)| port);
        let port = [found.port, port, of_scheme].into_iter().find(|port| *port != 0).unwrap_or_default();
        OwnPlace { host: cut(found.host), port }
    }
}

impl<'a> From<(&'a [u8], u32)> for OwnPlace<'a> {
    fn from((host, port): (&'a [u8], u32)) -> Self {
        OwnPlace { host, port }
    }
}

fn number(value: &[u8]) -> u32 {
    match wire::scalar(value) {
        AttributeValue::Int(port) => u16::try_from(port).map_or(0, u32::from),
        AttributeValue::Str(port) => port.parse::<u16>().map_or(0, u32::from),
        _ => 0,
    }
}
