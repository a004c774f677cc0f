"""Spans of sampled traces, for a collector that speaks OTLP; needs the extra `otel`.

Only where whoever began a trace records it, and TIDEGATE_OTLP_URL names a collector: a span costs
about as much as all else of an order (110 us here). Without, a traceparent is only carried.
A collector that is away costs spans, nothing else: they wait in a bounded queue and are dropped.
"""

from threading import Thread
from typing import Any, Final

from engine.kernel import traces
from engine.kernel.errors import NotInstalled

_MS_NS: Final = 1_000_000
_SENT_WITHIN_S: Final = 2
_ENDS_WITHIN_S: Final = 3.0

Value = str | int | float | bool


class Span:
    """One that has begun; `trace` is the traceparent of what is caused by it."""

    def __init__(self, span: Any, trace: str) -> None:
        self._span = span
        self.trace = trace

    def end(self, ended_ms: int | None = None, **attributes: Value) -> None:
        """End it, now or at an instant; attributes are named `tidegate.…`."""
        for name, value in attributes.items():
            self._span.set_attribute(f"tidegate.{name}", value)
        self._span.end(None if ended_ms is None else ended_ms * _MS_NS)


class Spans:
    """The spans of one process, sent from a thread of the library's own."""

    def __init__(self, url: str, process: str) -> None:
        """Take where they go (`http://…:4318/v1/traces`) and which process tells them.

        Raises:
            NotInstalled: the extra is missing.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
                OTLPSpanExporter,
            )
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        except ImportError as missing:
            raise NotInstalled(
                "TIDEGATE_OTLP_URL is set, and OpenTelemetry is not installed:"
                " pip install 'tidegate[otel]'"
            ) from missing
        resource = Resource({"service.name": "tidegate", "service.instance.id": process})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=url, timeout=_SENT_WITHIN_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tidegate")

    def begin(self, trace: str, name: str, began_ms: int | None = None) -> Span:
        """Begin a span below a sampled trace; `began_ms` is when, in ms since the epoch."""
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - an extra
            TraceContextTextMapPropagator,
        )

        parent = TraceContextTextMapPropagator().extract({"traceparent": trace})
        start = None if began_ms is None else began_ms * _MS_NS
        span = self._tracer.start_span(name, parent, start_time=start)
        own = span.get_span_context()
        return Span(span, f"00-{own.trace_id:032x}-{own.span_id:016x}-01")

    def tell(
        self, trace: str | None, name: str, began_ms: int, ended_ms: int, **attributes: Value
    ) -> None:
        """Tell of what is over, if its trace is sampled; instants are ms since the epoch."""
        if trace and traces.sampled(trace):
            self.begin(trace, name, began_ms).end(max(began_ms, ended_ms), **attributes)

    def close(self) -> None:
        """Send what waits, for some seconds at most; blocks as long.

        The library goes on to try a collector that is away, for longer than a process may take to
        end: its thread is left behind then, and ends with the process.
        """
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_ENDS_WITHIN_S)
