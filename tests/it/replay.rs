//! A real trace, driven through Authorize and Settle, against a sum computed
//! independently.

use bursar::pb;
use rust_decimal::Decimal;

use crate::support::data::real;
use crate::support::database::fresh_directory;
use crate::support::process::{run, text};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, on_both};

const LINES: usize = 2_000;

/// What the first lines of the trace cost, in decimal: each call is rounded to
/// a nano-dollar by itself, half to even.
fn exact_cost(csv: &str) -> Decimal {
    let (input, output) = ("0.0000025".parse::<Decimal>().unwrap(), "0.00001".parse::<Decimal>().unwrap());
    let calls = csv.lines().skip(1).take(LINES).map(|line| {
        let mut counts = line.split(',').skip(1).map(|count| count.parse::<Decimal>().unwrap());
        let cost = counts.next().unwrap() * input + counts.next().unwrap() * output;
        cost.round_dp_with_strategy(9, rust_decimal::RoundingStrategy::MidpointNearestEven)
    });
    calls.sum::<Decimal>().normalize()
}

/// Replays the trace with a key; returns the report.
fn replay(world: &World, file: &str, secret: &str) -> String {
    let directory = fresh_directory();
    let limit = LINES.to_string();
    let output = run(
        &directory,
        &["replay", file, "--key", secret, "--model", MODEL, "--address", &world.address, "--limit", &limit],
    );
    std::fs::remove_dir_all(directory).unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

async fn spend(world: &World, key_hash: &str) -> Decimal {
    let request = pb::GetKeyRequest { key: key_hash.to_owned() };
    world.admin.keys().get_key(request).await.answer().key.unwrap().spend.unwrap().parse().unwrap()
}

on_both! {
    async fn the_first_2000_calls_cost_what_decimal_arithmetic_says(world: World) {
        let Some(file) = real("azure_llm_trace_conv.csv") else { return };
        let file = std::fs::canonicalize(file).unwrap();
        let exact = exact_cost(&std::fs::read_to_string(&file).unwrap());
        let (secret, key) = world.key(pb::Key { max_budget: Some("1000".into()), ..Default::default() }).await;
        let report = replay(&world, file.to_str().unwrap(), &secret);
        assert!(report.contains("calls     2000: 2000 settled, 0 denied, 0 failed"), "{report}");
        assert!(report.contains(&format!("spend     {exact} USD")), "{exact} {report}");
        assert_eq!(spend(&world, &key.key_hash).await, exact);
        let answer = world.admin.spend().get_daily_spend(pb::GetDailySpendRequest::default()).await.answer();
        let totals = answer.totals.unwrap();
        assert_eq!((totals.spend.parse::<Decimal>().unwrap(), totals.api_requests), (exact, 2_000));
        let verified = world.store().verify().await.unwrap();
        assert!(verified.discrepancies.is_empty() && verified.events == 2_000, "{verified:?}");
    }

    async fn a_budget_for_half_of_it_is_never_passed(world: World) {
        let Some(file) = real("azure_llm_trace_conv.csv") else { return };
        let file = std::fs::canonicalize(file).unwrap();
        let half = (exact_cost(&std::fs::read_to_string(&file).unwrap()) / Decimal::TWO).round_dp(9).normalize();
        let (secret, key) = world.key(pb::Key { max_budget: Some(half.to_string()), ..Default::default() }).await;
        let report = replay(&world, file.to_str().unwrap(), &secret);
        let spent = spend(&world, &key.key_hash).await;
        assert!(spent <= half, "{spent} of {half}: {report}");
        // What was refused did not fit; it was not refused too early, either.
        assert!(half - spent < "0.05".parse().unwrap(), "{spent} of {half}: {report}");
        assert!(report.contains("DENY_REASON_BUDGET_EXCEEDED") && report.contains(&format!("spend     {spent} USD")), "{report}");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
