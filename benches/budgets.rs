//! Authorize and Release under six budgets and two rate limits, against a bare
//! echo of the same sizes; and for keys that all spend one team's budget, against
//! as many in teams of their own.
//!
//! `cargo bench --bench budgets`

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bursar::pb;
use pb::budget_service_client::BudgetServiceClient;
use pb::customer_service_client::CustomerServiceClient;
use pb::gateway_service_client::GatewayServiceClient;
use pb::organization_service_client::OrganizationServiceClient;
use pb::team_service_client::TeamServiceClient;
use pb::user_service_client::UserServiceClient;
use support::calls::{Callers, IN_FLIGHT, clients, echo_of};
use support::{Bench, MASTER, Round, Sqlite, connect, median, with_key};
use tonic::transport::Channel;

/// Many short rounds in turns, so that both feel the same noise.
const ROUNDS: usize = 41;
const LENGTH: Duration = Duration::from_millis(500);
/// More than all rounds together may cost.
const PLENTY: &str = "1000000";

type Clients = Arc<Vec<GatewayServiceClient<Channel>>>;

/// A key of a member of a team in an organization, calling for a customer: each
/// of these has a budget, and everything together.
async fn under_six_budgets(bench: &Bench, sidecar: &str) -> Callers {
    let channel = connect(&bench.address).await;
    let plenty = || Some(PLENTY.to_owned());
    let acme = pb::Organization {
        organization_id: "acme".into(),
        organization_alias: "Acme".into(),
        max_budget: plenty(),
        ..Default::default()
    };
    let request = pb::CreateOrganizationRequest { organization: Some(acme), ..Default::default() };
    let mut organizations = OrganizationServiceClient::new(channel.clone());
    organizations.create_organization(with_key(request, MASTER)).await.expect("an organization");
    let request = pb::CreateUserRequest {
        user: Some(pb::User { user_id: "alice".into(), ..Default::default() }),
        organization_ids: vec!["acme".into()],
        auto_create_key: Some(false),
        ..Default::default()
    };
    UserServiceClient::new(channel.clone()).create_user(with_key(request, MASTER)).await.expect("a user");
    let alice = pb::TeamMember { user_id: "alice".into(), max_budget_in_team: plenty(), ..Default::default() };
    let team = pb::Team {
        team_id: "red".into(),
        organization_id: Some("acme".into()),
        max_budget: plenty(),
        tpm_limit: Some(1_000_000_000_000),
        members: vec![alice],
        ..Default::default()
    };
    create_team(&channel, team).await;
    let customer = pb::Customer { customer_id: "shop".into(), max_budget: plenty(), ..Default::default() };
    let request = pb::CreateCustomerRequest { customer: Some(customer), ..Default::default() };
    CustomerServiceClient::new(channel.clone()).create_customer(with_key(request, MASTER)).await.expect("a customer");
    let request = pb::SetScopeBudgetRequest {
        scope: pb::BudgetScope::Global.into(),
        budget: Some(pb::Budget { max_budget: plenty(), ..Default::default() }),
        ..Default::default()
    };
    BudgetServiceClient::new(channel).set_scope_budget(with_key(request, MASTER)).await.expect("a budget");
    let key = pb::Key {
        user_id: Some("alice".into()),
        team_id: Some("red".into()),
        max_budget: plenty(),
        rpm_limit: Some(1_000_000_000),
        ..Default::default()
    };
    Callers::new(vec![bench.generate(key).await], sidecar, "shop")
}

async fn create_team(channel: &Channel, team: pb::Team) {
    let request = pb::CreateTeamRequest { team: Some(team), ..Default::default() };
    TeamServiceClient::new(channel.clone()).create_team(with_key(request, MASTER)).await.expect("a team");
}

/// A key for each call in flight, in one team or each in one of its own.
async fn in_teams(bench: &Bench, sidecar: &str, name: &str, teams: usize) -> Callers {
    let channel = connect(&bench.address).await;
    let mut secrets = Vec::new();
    for number in 0..IN_FLIGHT {
        let team_id = format!("{name}-{}", number % teams);
        if number < teams {
            let team = pb::Team { team_id: team_id.clone(), max_budget: Some(PLENTY.to_owned()), ..Default::default() };
            create_team(&channel, team).await;
        }
        secrets.push(bench.generate(pb::Key { team_id: Some(team_id), ..Default::default() }).await);
    }
    Callers::new(secrets, sidecar, "")
}

/// Rounds of one after rounds of the other: their rates, and the ratio.
async fn compare(first: (&Callers, &Clients), second: (&Callers, &Clients)) -> [f64; 3] {
    for number in 0..4 {
        first.0.round(first.1, 1_000 + number, LENGTH).await;
        second.0.round(second.1, 2_000 + number, LENGTH).await;
    }
    let (mut base, mut ours) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        base.push(Round::rate(&first.0.round(first.1, 3_000 + number, LENGTH).await));
        ours.push(Round::rate(&second.0.round(second.1, 4_000 + number, LENGTH).await));
    }
    let ratios = ours.iter().zip(&base).map(|(ours, base)| ours / base).collect();
    [median(base), median(ours), median(ratios)]
}

#[tokio::main]
async fn main() {
    println!("| calls a second | of | Bursar | ratio, round by round | wanted |");
    println!("|---|---|---|---|---|");
    let database = Sqlite::new("hot_team");
    let bench = Bench::start(&database.url()).await;
    let sidecar = bench.generate(pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() }).await;
    let real = clients(&bench.address).await;
    let apart = in_teams(&bench, &sidecar, "own", IN_FLIGHT).await;
    let together = in_teams(&bench, &sidecar, "hot", 1).await;
    let [base, ours, ratio] = compare((&apart, &real), (&together, &real)).await;
    println!("| 64 keys in one team | in a team each: {base:.0} | {ours:.0} | {ratio:.2} | at least 0.80 |");
    let six = under_six_budgets(&bench, &sidecar).await;
    let echo = clients(&echo_of(&bench, &six).await).await;
    let [base, ours, ratio] = compare((&six, &echo), (&six, &real)).await;
    println!("| six budgets, two rate limits | an echo: {base:.0} | {ours:.0} | {ratio:.2} | at least 0.75 |");
}
