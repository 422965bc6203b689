"""Sends two spans, three metrics and a log record with the OpenTelemetry SDK's defaults. Arguments: grpc|http, endpoint, none|gzip."""

import logging
import sys

protocol, endpoint, compression = sys.argv[1:4]

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

if protocol == "grpc":
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    kind = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression

    def exporter(which, path):
        return which(endpoint=endpoint, insecure=True, compression=kind)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    kind = Compression.Gzip if compression == "gzip" else Compression.NoCompression

    def exporter(which, path):
        return which(endpoint=f"http://{endpoint}{path}", compression=kind)


resource = Resource.create({"service.name": "sdk"})
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(exporter(OTLPSpanExporter, "/v1/traces")))
metrics = MeterProvider([PeriodicExportingMetricReader(exporter(OTLPMetricExporter, "/v1/metrics"))], resource)
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(exporter(OTLPLogExporter, "/v1/logs")))
logging.getLogger().addHandler(LoggingHandler(logger_provider=logs))

meter = metrics.get_meter("m")
with traces.get_tracer("t").start_as_current_span("parent", kind=SpanKind.SERVER):
    with traces.get_tracer("t").start_as_current_span("child", kind=SpanKind.CLIENT) as child:
        child.record_exception(ValueError("größe"))
        child.set_status(StatusCode.ERROR)
    meter.create_counter("sdk.requests").add(3, {"route": "/a"})
    meter.create_up_down_counter("sdk.active").add(2)
    meter.create_histogram("sdk.latency", unit="s").record(0.2)
    logging.getLogger().error("boom")
for provider in (traces, metrics, logs):
    provider.shutdown()
