//! From bytes to columns of ranges. Fields may come in any order: a resource after its spans is still their resource.

use super::residual::Residuals;
use super::span::{Span, parse_span};
use crate::inspect::{Findings, Stop, inspect};
use crate::limits::Limits;
use crate::refusal::{Refusal, Signal};
use crate::repair::repair;
use crate::schema::{Message, RESOURCE, SCOPE};
use crate::wire::{LENGTH, Reader, expect};
use watchfire_model::{Receipt, SpanId, TraceId};

/// A range of the request, or of the repaired bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) length: u32,
    pub(super) repaired: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ResourceGroup {
    pub(super) raw: Range,
    /// Where its scopes end in [`Parsed::scopes`].
    pub(super) scopes_end: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScopeGroup {
    pub(super) raw: Range,
    /// Where its spans end in [`Parsed::spans`].
    pub(super) spans_end: u32,
}

/// Spans whose id is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BadIds {
    /// Absent or all zero.
    zero: u64,
    /// Of another length.
    misfit: u64,
}

impl BadIds {
    pub(super) fn count(&mut self, id: &[u8]) {
        // Every length that fits is wrong only when all is zero.
        if id.is_empty() || matches!(id.len(), 8 | 16) && id.iter().all(|b| *b == 0) { self.zero += 1 } else { self.misfit += 1 }
    }
}

/// Elements of spans that were left out because there were too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    pub attributes: u64,
    pub events: u64,
    pub links: u64,
}

/// One request, parsed. The buffers are kept from request to request, so that a steady stream allocates nothing.
#[derive(Debug, Default)]
pub struct Parsed {
    pub(super) resources: Vec<ResourceGroup>,
    pub(super) scopes: Vec<ScopeGroup>,
    pub(super) spans: Vec<Span>,
    pub(super) links: Vec<(TraceId, SpanId)>,
    /// Bodies that could not be taken as they came.
    pub(super) repaired: Vec<u8>,
    pub(super) findings: Findings,
    pub(super) bad_trace_ids: BadIds,
    pub(super) bad_span_ids: BadIds,
    pub(super) dropped: Dropped,
}

impl Parsed {
    /// Bytes held by the buffers.
    pub fn heap_bytes(&self) -> usize {
        self.resources.capacity() * size_of::<ResourceGroup>()
            + self.scopes.capacity() * size_of::<ScopeGroup>()
            + self.spans.capacity() * size_of::<Span>()
            + self.links.capacity() * size_of::<(TraceId, SpanId)>()
            + self.repaired.capacity()
    }

    fn clear(&mut self) {
        self.resources.clear();
        self.scopes.clear();
        self.spans.clear();
        self.links.clear();
        self.repaired.clear();
        self.findings = Findings::default();
        (self.bad_trace_ids, self.bad_span_ids) = (BadIds::default(), BadIds::default());
        self.dropped = Dropped::default();
    }

    /// Reads a request. What was in the buffers before is forgotten; `residuals` are those of earlier requests.
    ///
    /// # Errors
    /// When the request is malformed, too long or has too many elements. The buffers then hold nothing worth visiting.
    pub fn parse(&mut self, bytes: &[u8], limits: &Limits, residuals: &mut Residuals) -> Result<(), Refusal> {
        self.clear();
        residuals.under(limits);
        if bytes.len() > limits.max_bytes.min(u32::MAX as usize) {
            return Err(Refusal::too_long(limits));
        }
        self.request(bytes, limits, residuals).map_err(|stop| {
            self.clear();
            match stop {
                Stop::Wire(error) => Refusal::wire(Signal::Traces, &error),
                Stop::TooManyItems => Refusal::too_many(limits),
            }
        })
    }

    /// What became of the spans.
    pub fn receipt(&self) -> Receipt {
        let counted = |list: &[(&'static str, u64)]| list.iter().copied().filter(|(_, n)| *n > 0).collect();
        Receipt {
            accepted: self.spans.len() as u64,
            rejected: counted(&[
                ("zero trace id", self.bad_trace_ids.zero),
                ("trace id not 16 bytes", self.bad_trace_ids.misfit),
                ("zero span id", self.bad_span_ids.zero),
                ("span id not 8 bytes", self.bad_span_ids.misfit),
            ]),
            warnings: counted(&[("invalid UTF-8", self.findings.bad_text), ("value nested too deep", self.findings.too_deep)]),
        }
    }

    /// Texts that were cut.
    pub fn cut_texts(&self) -> u64 {
        self.findings.too_long
    }

    /// Elements beyond the limits of their span.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    pub(super) fn count_items(&mut self, items: usize, limits: &Limits) -> Result<(), Stop> {
        self.findings.count(items, limits)
    }

    fn request(&mut self, bytes: &[u8], limits: &Limits, residuals: &mut Residuals) -> Result<(), Stop> {
        let mut reader = Reader::new(bytes);
        while let Some((field, wire_type)) = reader.tag()? {
            if field == 1 {
                expect(field, wire_type, LENGTH)?;
                let body = reader.bytes()?;
                self.resource_spans(body, reader.position() - body.len(), limits, residuals)?;
            } else {
                reader.skip(field, wire_type)?;
            }
        }
        Ok(())
    }

    /// `at` is where `bytes` begins in the request.
    fn resource_spans(&mut self, bytes: &[u8], at: usize, limits: &Limits, residuals: &mut Residuals) -> Result<(), Stop> {
        self.count_items(1, limits)?;
        let mut resource = None;
        let mut reader = Reader::new(bytes);
        while let Some((field, wire_type)) = reader.tag()? {
            if field > 3 {
                reader.skip(field, wire_type)?;
                continue;
            }
            expect(field, wire_type, LENGTH)?;
            let body = reader.bytes()?;
            let start = at + reader.position() - body.len();
            match field {
                1 => resource = Some(self.merge(bytes, at, resource, start, body, &RESOURCE, limits)?),
                2 => self.scope_spans(body, start, limits, residuals)?,
                _ => self.text(body),
            }
        }
        let raw = self.checked(bytes, at, resource, &RESOURCE, limits)?;
        self.resources.push(ResourceGroup { raw, scopes_end: self.scopes.len() as u32 });
        Ok(())
    }

    fn scope_spans(&mut self, bytes: &[u8], at: usize, limits: &Limits, residuals: &mut Residuals) -> Result<(), Stop> {
        self.count_items(1, limits)?;
        let mut scope = None;
        let mut reader = Reader::new(bytes);
        while let Some((field, wire_type)) = reader.tag()? {
            if field > 3 {
                reader.skip(field, wire_type)?;
                continue;
            }
            expect(field, wire_type, LENGTH)?;
            let body = reader.bytes()?;
            let start = at + reader.position() - body.len();
            match field {
                1 => scope = Some(self.merge(bytes, at, scope, start, body, &SCOPE, limits)?),
                2 => parse_span(self, body, start, limits, residuals)?,
                _ => self.text(body),
            }
        }
        let raw = self.checked(bytes, at, scope, &SCOPE, limits)?;
        self.scopes.push(ScopeGroup { raw, spans_end: self.spans.len() as u32 });
        Ok(())
    }

    /// A text that is not kept must still be one.
    fn text(&mut self, bytes: &[u8]) {
        if simdutf8::basic::from_utf8(bytes).is_err() {
            self.findings.bad_text += 1;
        }
    }

    /// A message field that comes twice means both, one after the other: that is how protobuf merges messages. Each must be whole by itself.
    #[allow(clippy::too_many_arguments)]
    fn merge(
        &mut self,
        bytes: &[u8],
        at: usize,
        before: Option<Range>,
        start: usize,
        body: &[u8],
        message: &'static Message,
        limits: &Limits,
    ) -> Result<Range, Stop> {
        let Some(before) = before else {
            return Ok(Range { start: start as u32, length: body.len() as u32, repaired: false });
        };
        inspect(body, message, 0, limits, &mut Findings::default())?;
        let merged = self.repaired.len();
        if before.repaired {
            self.repaired.extend_from_within(before.start as usize..(before.start + before.length) as usize);
        } else {
            let first = &bytes[before.start as usize - at..][..before.length as usize];
            inspect(first, message, 0, limits, &mut Findings::default())?;
            self.repaired.extend_from_slice(first);
        }
        self.repaired.extend_from_slice(body);
        Ok(Range { start: merged as u32, length: (self.repaired.len() - merged) as u32, repaired: true })
    }

    /// Looks into a resource or scope, and repairs it where needed.
    fn checked(
        &mut self,
        bytes: &[u8],
        at: usize,
        range: Option<Range>,
        message: &'static Message,
        limits: &Limits,
    ) -> Result<Range, Stop> {
        let Some(range) = range else { return Ok(Range::default()) };
        let own = if range.repaired { Some(self.repaired[range.start as usize..][..range.length as usize].to_vec()) } else { None };
        let body = match &own {
            Some(own) => own,
            None => &bytes[range.start as usize - at..][..range.length as usize],
        };
        let mut findings = Findings { items: self.findings.items, ..Findings::default() };
        inspect(body, message, 0, limits, &mut findings)?;
        self.add(findings);
        if !findings.needs_repair() {
            return Ok(range);
        }
        let start = self.repaired.len();
        repair(body, message, 0, limits, &mut self.repaired)?;
        Ok(Range { start: start as u32, length: (self.repaired.len() - start) as u32, repaired: true })
    }

    /// Takes over findings whose `items` already include those so far.
    pub(super) fn add(&mut self, findings: Findings) {
        self.findings.items = findings.items;
        self.findings.bad_text += findings.bad_text;
        self.findings.too_deep += findings.too_deep;
        self.findings.too_long += findings.too_long;
    }
}
