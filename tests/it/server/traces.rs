//! Traces: what a collector of OpenTelemetry is told of calls.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bursar::pb;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::gateway::{reserve, settle};
use crate::support::Backend;
use crate::support::callouts::Callouts;
use crate::support::{Answer, World, on_both};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that keeps everything.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let spans = resources.into_iter().flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans);
        self.0.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, String) {
        let (collector, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        (collector, address)
    }

    fn spans(&self, trace: &str) -> Vec<Span> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| hex::encode(&span.trace_id) == trace).cloned().collect()
    }
}

on_both! {
    async fn a_call_is_a_span_of_its_callers_trace(backend: Backend) {
        let (collector, address) = Collector::start().await;
        // Of what comes without a trace nothing is sent; a caller decides itself.
        let traces = format!("{{ endpoint = \"{address}\", share = \"0\" }}");
        let world = World::builder(backend).set("traces", &traces).start().await;
        world.admin.teams().list_teams(pb::ListTeamsRequest::default()).await.answer();
        let caller = world.admin.with_header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
        caller.teams().list_teams(pb::ListTeamsRequest::default()).await.answer();
        let unknown = pb::GetTeamRequest { team_id: "none".into(), ..Default::default() };
        caller.teams().get_team(unknown).await.unwrap_err();
        let unsampled = world.admin.with_header("traceparent", &format!("00-{}-{PARENT}-00", TRACE.replace('4', "5")));
        unsampled.teams().list_teams(pb::ListTeamsRequest::default()).await.answer();
        // What is still on its way is sent at the end.
        world.stop().await;
        let began = Instant::now();
        while collector.spans(TRACE).len() < 2 {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", collector.0.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let told: Vec<(String, String, i32)> = collector
            .spans(TRACE)
            .iter()
            .map(|span| (span.name.clone(), hex::encode(&span.parent_span_id), span.status.as_ref().map_or(0, |status| status.code)))
            .collect();
        let unset = StatusCode::Unset as i32;
        let expected = ["bursar.v1.TeamService/ListTeams", "bursar.v1.TeamService/GetTeam"]
            .map(|rpc| (rpc.to_owned(), PARENT.to_owned(), unset));
        assert_eq!(told, expected);
        assert_eq!(collector.0.lock().unwrap().len(), 2, "nobody else asked for traces");
        let attributes = format!("{:?}", collector.spans(TRACE)[1].attributes);
        assert!(attributes.contains("NOT_FOUND") && attributes.contains("bursar.request_id"), "{attributes}");
        assert!(!attributes.contains("sk-"));
    }

    async fn what_a_call_waits_for_is_a_part_of_it(backend: Backend) {
        let (collector, address) = Collector::start().await;
        let callouts = Callouts::start().await;
        let traces = format!("{{ endpoint = \"{address}\", share = \"0\" }}");
        let world = World::builder(backend).set("traces", &traces).set("key_policy", &callouts.setting("")).start().await;
        let team = pb::Team { team_id: "red".into(), max_budget: Some("1".into()), ..Default::default() };
        world.admin.teams().create_team(pb::CreateTeamRequest { team: Some(team), ..Default::default() }).await.answer();
        let caller = world.admin.with_header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
        let key = pb::Key { team_id: Some("red".into()), ..Default::default() };
        let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
        let secret = caller.keys().generate_key(request.clone()).await.answer().secret;
        world.admin.keys().generate_key(request).await.answer();
        let caller = world.with_key(&secret).with_header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
        let reservation = reserve(&caller, "a", "0.01").await;
        settle(&caller, &reservation, 10).await;
        let seen = callouts.traces();
        assert!(seen[0].starts_with(&format!("00-{TRACE}-")) && !seen[0].contains(PARENT) && seen[0].ends_with("-01"), "{seen:?}");
        assert!(seen[1].ends_with("-00"), "nobody asked for a trace: {seen:?}");
        world.stop().await;
        let began = Instant::now();
        while collector.spans(TRACE).len() < 8 {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", collector.0.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let spans = collector.spans(TRACE);
        let within = |parent: &str| {
            let parent = spans.iter().find(|span| span.name == parent).unwrap();
            let mut inner: Vec<&str> =
                spans.iter().filter(|span| span.parent_span_id == parent.span_id).map(|span| span.name.as_str()).collect();
            inner.sort_unstable();
            inner
        };
        assert_eq!(within("bursar.v1.KeyService/GenerateKey"), ["callout.key_policy", "store.commit"]);
        // A key that is used for the first time, and a budget that holds nothing yet.
        assert_eq!(within("bursar.v1.GatewayService/Authorize"), ["ledger.hold", "store.read_key"]);
        assert_eq!(within("bursar.v1.GatewayService/Settle"), ["ledger.commit"]);
        assert_eq!(collector.0.lock().unwrap().len(), spans.len());
    }

    async fn a_collector_that_is_away_stops_nobody(backend: Backend) {
        let traces = "{ endpoint = \"http://127.0.0.1:1\" }";
        let world = World::builder(backend).set("traces", traces).start().await;
        world.admin.teams().list_teams(pb::ListTeamsRequest::default()).await.answer();
        let began = Instant::now();
        world.stop().await;
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
