//! The arrows between modules: who may use whom. `ARCHITECTURE.md` has the same
//! table with the reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each module, and what it may use besides itself.
const ARROWS: [(&str, &[&str]); 21] = [
    ("domain", &[]),
    ("store", &["domain"]),
    ("shared_counts", &["domain"]),
    ("gate", &["domain", "store", "shared_counts", "traces"]),
    ("error", &["domain", "store", "pb"]),
    ("pb", &[]),
    ("callout", &["domain", "error", "pb", "traces"]),
    ("auth", &["domain", "store", "gate", "error", "callout"]),
    ("mail", &["domain"]),
    ("webhooks", &["domain"]),
    ("config", &["domain", "store", "gate", "mail"]),
    ("metrics", &["domain", "store", "gate"]),
    ("traces", &["domain"]),
    (
        "services",
        &[
            "domain", "store", "gate", "error", "pb", "callout", "auth", "mail", "webhooks", "config", "metrics",
            "traces",
        ],
    ),
    ("jobs", &["domain", "store", "shared_counts", "gate", "mail", "webhooks", "metrics"]),
    ("import", &["domain", "store"]),
    ("telemetry", &["config"]),
    (
        "server",
        &[
            "domain",
            "mail",
            "store",
            "shared_counts",
            "gate",
            "error",
            "pb",
            "callout",
            "auth",
            "config",
            "webhooks",
            "services",
            "metrics",
            "traces",
            "jobs",
            "telemetry",
        ],
    ),
    ("cli", &["domain", "store", "shared_counts", "pb", "auth", "config", "import", "telemetry", "server"]),
    ("main", &[]),
    ("lib", &[]),
];

/// Libraries that belong to some modules only: what keeps SQL, the wire and the
/// clock where they are.
const BORDERS: [(&str, &[&str]); 13] = [
    ("sea_orm", &["store"]),
    ("sqlx", &["store"]),
    ("redis", &["shared_counts"]),
    ("lettre", &["mail"]),
    ("tonic", &["error", "pb", "callout", "auth", "services", "server", "cli"]),
    ("prost", &["pb", "services"]),
    ("reqwest", &["auth", "webhooks"]),
    ("axum", &["server"]),
    ("hyper", &["server"]),
    ("tokio_rustls", &["server"]),
    ("opentelemetry", &["traces"]),
    ("metrics_exporter_prometheus", &["metrics"]),
    ("tokio", &["store", "shared_counts", "gate", "callout", "auth", "services", "jobs", "server", "cli", "main"]),
];

/// Every file of the sources, with its module.
fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let describe = |path: PathBuf| {
        let first = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        (module, path, text)
    };
    files.into_iter().map(describe).collect()
}

/// The words that follow each occurrence of a prefix that begins a word, outside
/// comments.
fn words_after<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(move |line| {
        line.match_indices(prefix).filter_map(move |(at, _)| {
            let begins = !line[..at].ends_with(is_part);
            let rest = &line[at + prefix.len()..];
            begins.then(|| rest.split(|character| !is_part(character)).next().unwrap_or_default())
        })
    })
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("the table lacks module {module}"));
        for used in words_after(&text, "crate::") {
            assert!(!used.is_empty(), "{} imports several modules at once: one line each", path.display());
            seen.insert((module.clone(), used.to_owned()));
            if used != module && !may.contains(&used) {
                wrong.push(format!("{module} -> {used} in {}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that the table lacks: {wrong:#?}");
    assert!(seen.contains(&("services".to_owned(), "domain".to_owned())), "the test reads the sources");
}

#[test]
fn services_do_not_know_each_other() {
    let services = [
        "audit",
        "budgets",
        "customers",
        "envoy",
        "gateway",
        "keys",
        "models",
        "organizations",
        "spend",
        "teams",
        "users",
    ];
    // Thin adapters over the one that they speak for.
    let adapts = |path: &Path, used: &str| used == "gateway" && path.iter().any(|part| part == "envoy");
    for (module, path, text) in sources().into_iter().filter(|(module, ..)| module == "services") {
        for used in words_after(&text, "crate::services::") {
            let own = path.iter().any(|part| part == used);
            assert!(
                own || adapts(&path, used) || !services.contains(&used),
                "{module}: {} uses services::{used}",
                path.display()
            );
        }
    }
}

#[test]
fn libraries_stay_where_they_belong() {
    for (library, modules) in BORDERS {
        let prefix = format!("{library}::");
        let users: BTreeSet<String> = sources()
            .into_iter()
            .filter(|(_, _, text)| words_after(text, &prefix).next().is_some())
            .map(|(module, ..)| module)
            .collect();
        assert!(!users.is_empty(), "{library} is used nowhere");
        for user in users {
            assert!(modules.contains(&user.as_str()), "{user} uses {library}");
        }
    }
}
