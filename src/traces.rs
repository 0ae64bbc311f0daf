//! Traces: a span for each call, and for what it waits for, to a collector of
//! OpenTelemetry by OTLP. A call that comes with a trace context of the W3C
//! (`traceparent`) is a part of that trace, and so is what Bursar asks others for it.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::HeaderMap;
use opentelemetry::context::FutureExt;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use crate::domain::cause::causes;
use crate::domain::traces::TraceRules;

/// How long the collector may take to accept a batch.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name of this service, and of what makes its spans.
const BURSAR: &str = "bursar";

/// Makes spans, and sends them in the background; what can't be sent is dropped.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// A call that is traced.
pub struct Traced(Context);

/// What makes the spans within a call that is sampled.
#[derive(Clone)]
struct Inner(SdkTracer);

impl Traces {
    /// Sends spans to a collector. Within a runtime of tokio.
    ///
    /// # Errors
    /// In words, why it can't.
    pub fn new(rules: &TraceRules) -> Result<Self, String> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(&rules.endpoint).with_timeout(PATIENCE);
        let exporter = exporter.build().map_err(|error| causes(&error))?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(rules.share.to_ratio())));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_service_name(BURSAR).build())
            .build();
        let tracer = provider.tracer(BURSAR);
        Ok(Self { provider, tracer, propagator: TraceContextPropagator::new() })
    }

    /// A call of an RPC begins, `package.Service/Method`.
    pub fn begin(&self, rpc: &str, headers: &HeaderMap) -> Traced {
        let parent = self.propagator.extract_with_context(&Context::new(), &Headers(headers));
        let attributes = vec![KeyValue::new("rpc.system.name", "grpc"), KeyValue::new("rpc.method", rpc.to_owned())];
        let span = self.tracer.span_builder(rpc.to_owned()).with_kind(SpanKind::Server).with_attributes(attributes);
        let context = parent.with_span(span.start_with_context(&self.tracer, &parent));
        let is_sampled = context.span().span_context().is_sampled();
        Traced(if is_sampled { context.with_value(Inner(self.tracer.clone())) } else { context })
    }

    /// Sends what is still here; then nothing more. Waits for the collector: not to be
    /// called where others would wait, too.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

impl Traced {
    /// The id of its trace.
    pub fn trace_id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }

    /// It was answered, with a code of gRPC and the request's id.
    pub fn end(self, code: &'static str, request_id: &str) {
        let span = self.0.span();
        span.set_attribute(KeyValue::new("rpc.response.status_code", code));
        span.set_attribute(KeyValue::new("bursar.request_id", request_id.to_owned()));
        // What the caller did wrong is no error of the server.
        if matches!(code, "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS")
        {
            span.set_status(Status::error(code));
        }
        span.end();
    }
}

/// The work of a call, if it is traced: what it waits for can be spans of it.
pub fn within<F: Future>(traced: Option<&Traced>, work: F) -> impl Future<Output = F::Output> + use<F> {
    match traced {
        Some(Traced(context)) => Either::Left(work.with_context(context.clone())),
        None => Either::Right(work),
    }
}

/// Work that goes on by itself, as a part of the call that began it.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    work.with_current_context()
}

/// Something that a call waits for: a span of its own, if the call is traced.
pub fn span<F: Future>(name: &'static str, work: F) -> impl Future<Output = F::Output> {
    let begun = Context::map_current(|call| {
        let Inner(tracer) = call.get::<Inner>()?;
        let span = tracer.span_builder(name).with_kind(SpanKind::Client).start_with_context(tracer, call);
        Some(call.with_span(span))
    });
    let context = begun.clone().unwrap_or_else(Context::current);
    // Not a block of its own, which would hold the work twice.
    work.with_context(context).inspect(|_| {
        if let Some(context) = begun {
            context.span().end();
        }
    })
}

/// The headers by which a service that is asked now knows the trace; none outside
/// of one.
pub fn headers() -> HashMap<String, String> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject(&mut headers);
    headers
}

/// The headers of a request, as the propagator reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
