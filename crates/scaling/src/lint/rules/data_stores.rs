//! PostgreSQL, Redis and Qdrant as their images really read their settings, and the connections to them.

use crate::lint::context::Context;
use crate::lint::finding::Severity;
use crate::lint::fix::Edit;
use crate::manifest::{At, Container, Object, ObjectId, Workload};

use super::{Fixture, Rule};

pub(super) const RULES: &[&Rule] =
    &[&POSTGRES_ENV, &QDRANT_ENV, &QDRANT_PEERS, &REDIS_MEMORY, &REDIS_SHARDS, &CONNECTIONS];

macro_rules! stateful {
    ($replicas:expr, $container:expr) => {
        concat!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: ",
            $replicas,
            "\n  serviceName: db\n  selector: {matchLabels: {app: db}}\n  template:\n",
            "    metadata: {labels: {app: db}}\n    spec: {containers: [{name: db, ",
            $container,
            "}]}\n"
        )
    };
}

/// Containers whose image is called `name`, whatever its registry and tag.
fn of_image<'a>(
    context: &Context<'a>,
    names: &'static [&'static str],
) -> impl Iterator<Item = (ObjectId, &'a Object, &'a Workload, &'a Container)> + use<'a> {
    context.workloads().flat_map(move |(id, object, workload)| {
        let hits = workload.template.containers.iter().filter(move |container| {
            container.image.as_ref().is_some_and(|image| names.contains(&repository(&image.value)))
        });
        hits.map(move |container| (id, object, workload, container))
    })
}

/// `docker.io/library/postgres:15-alpine` is `postgres`, `bitnami/postgresql:15` is `bitnami/postgresql`.
fn repository(image: &str) -> &str {
    let slash = image.rfind('/').map_or(0, |at| at + 1);
    let end = image[slash..].find([':', '@']).map_or(image.len(), |at| slash + at);
    let name = &image[..end];
    ["docker.io/library/", "docker.io/", "index.docker.io/", "library/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

static POSTGRES_ENV: Rule = Rule {
    id: "postgres-replication-env",
    severity: Severity::Error,
    title: "the official postgres image ignores these replication variables",
    explain: "POSTGRES_REPLICATION_MODE, POSTGRES_MASTER_HOST and their kin belong to another vendor's image; the \
              official one reads only POSTGRES_USER, _PASSWORD, _DB, _INITDB_ARGS, _INITDB_WALDIR, _HOST_AUTH_METHOD \
              and PGDATA. Each \"replica\" starts as an independent empty database that happily takes writes and \
              answers reads with nothing. A standby needs pg_basebackup, standby.signal and primary_conninfo, or an \
              operator such as CloudNativePG.",
    check: |context, sink| {
        for (id, object, workload, container) in of_image(context, &["postgres"]) {
            let ignored: Vec<_> = container
                .env
                .iter()
                .filter(|env| {
                    ["POSTGRES_REPLICATION_", "POSTGRES_MASTER_", "POSTGRESQL_"]
                        .iter()
                        .any(|p| env.name.value.starts_with(p))
                })
                .collect();
            let Some(first) = ignored.first() else { continue };
            let names: Vec<&str> = ignored.iter().map(|env| env.name.value.as_str()).collect();
            let (replicas, _) = context.replicas_of(object, workload);
            let image = container.image.as_ref().map_or("postgres", |image| image.value.as_str());
            sink.at(
                id,
                first.name.span,
                format!(
                    "{}: {image} ignores {}: {replicas} independent empty databases start, none replicates. Make standbys \
                     with pg_basebackup and primary_conninfo, or use an operator",
                    object.label(),
                    names.join(", ")
                ),
            );
        }
    },
    fixture: Fixture {
        fires: stateful!(
            "2",
            "image: \"postgres:15\", env: [{name: POSTGRES_REPLICATION_MODE, value: slave}]"
        ),
        silent: stateful!("2", "image: \"postgres:15\", env: [{name: POSTGRES_DB, value: a}]"),
    },
};

static QDRANT_ENV: Rule = Rule {
    id: "qdrant-env-underscores",
    severity: Severity::Error,
    title: "Qdrant settings in the environment need double underscores",
    explain: "Qdrant maps `QDRANT__CLUSTER__ENABLED` to `cluster.enabled`; a variable with single underscores is another \
              name and ignored, so the setting keeps its default (`cluster.enabled: false`).",
    check: |context, sink| {
        for (id, object, _, container) in of_image(context, &["qdrant/qdrant"]) {
            for env in &container.env {
                let name = env.name.value.as_str();
                let Some(rest) = name.strip_prefix("QDRANT_").filter(|rest| !rest.starts_with('_')) else {
                    continue;
                };
                let Some((section, _)) = rest.split_once('_') else { continue };
                if !["CLUSTER", "SERVICE", "STORAGE", "TLS", "TELEMETRY"].contains(&section) {
                    continue;
                }
                let meant = double_underscores(rest);
                let message = format!("{}: Qdrant ignores {name}; it reads {meant}", object.label());
                let edits = vec![Edit::replace(env.name.span, meant)];
                // Bootstrap peers are no setting at all, only an option of the command line.
                let reported = sink.at(id, env.name.span, message);
                if rest.contains("BOOTSTRAP") { reported.fix(edits) } else { reported.safe_fix(edits) }
            }
        }
    },
    fixture: Fixture {
        fires: stateful!(
            "1",
            "image: \"qdrant/qdrant:v1.15.0\", env: [{name: QDRANT_SERVICE_GRPC_PORT, value: \"6334\"}]"
        ),
        silent: stateful!(
            "1",
            "image: \"qdrant/qdrant:v1.15.0\", env: [{name: QDRANT__SERVICE__GRPC_PORT, value: \"6334\"}]"
        ),
    },
};

/// `CLUSTER_P2P_PORT` as `QDRANT__CLUSTER__P2P__PORT`: the sections of Qdrant's file are cut apart, words inside a
/// setting stay together.
fn double_underscores(rest: &str) -> String {
    const NESTED: [&str; 7] = [
        "CLUSTER_P2P_",
        "CLUSTER_CONSENSUS_",
        "STORAGE_OPTIMIZERS_",
        "STORAGE_PERFORMANCE_",
        "STORAGE_HNSW_INDEX_",
        "STORAGE_WAL_",
        "STORAGE_SNAPSHOTS_",
    ];
    if let Some(prefix) = NESTED.iter().find(|prefix| rest.starts_with(**prefix)) {
        let (section, nested) = prefix.trim_end_matches('_').split_once('_').unwrap_or((prefix, ""));
        return format!("QDRANT__{section}__{nested}__{}", &rest[prefix.len()..]);
    }
    match rest.split_once('_') {
        Some((section, setting)) => format!("QDRANT__{section}__{setting}"),
        None => format!("QDRANT__{rest}"),
    }
}

static QDRANT_PEERS: Rule = Rule {
    id: "qdrant-no-bootstrap",
    severity: Severity::Error,
    title: "several Qdrant pods that are not told of each other",
    explain: "Qdrant forms a cluster only when it is enabled and the peers find each other on the command line: the first \
              starts with `--uri http://<itself>:6335`, the others with `--bootstrap http://<first>:6335`. Otherwise each \
              pod is a single node with its own data, and a query gets whichever third it meets.",
    check: |context, sink| {
        for (id, object, workload, container) in of_image(context, &["qdrant/qdrant"]) {
            let (replicas, _) = context.replicas_of(object, workload);
            let enabled = container
                .env("QDRANT__CLUSTER__ENABLED")
                .is_some_and(|env| env.value.as_ref().is_none_or(|value| value.value == "true"));
            let text = container.words.iter().map(|word| word.value.as_str()).collect::<Vec<_>>().join(" ");
            let introduced =
                text.contains("--bootstrap") || text.contains("--uri") || text.contains("initialize.sh");
            if replicas < 2 || enabled && introduced {
                continue;
            }
            let why = match (enabled, introduced) {
                (false, _) => "QDRANT__CLUSTER__ENABLED is not \"true\"",
                (true, _) => "no --uri for the first and --bootstrap for the others is on the command line",
            };
            let span = container.name.as_ref().map_or(container.span, |name| name.span);
            sink.at(
                id,
                span,
                format!(
                    "{}: {why}: {replicas} separate single nodes start, each with its own data",
                    object.label()
                ),
            );
        }
    },
    fixture: Fixture {
        fires: stateful!(
            "3",
            "image: \"qdrant/qdrant:v1.15.0\", env: [{name: QDRANT__CLUSTER__ENABLED, value: \"true\"}]"
        ),
        silent: stateful!(
            "3",
            "image: \"qdrant/qdrant:v1.15.0\", args: [./config/initialize.sh], env: [{name: QDRANT__CLUSTER__ENABLED, value: \"true\"}]"
        ),
    },
};

/// `2gb`, `512mb`, `1g` as redis.conf reads them, in bytes.
fn redis_bytes(text: &str) -> Option<i64> {
    let text = text.trim().to_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..digits].parse().ok()?;
    let factor = match &text[digits..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn redis_option(container: &Container, name: &str) -> Option<At<String>> {
    container.option(name)
}

fn gib(bytes: i64) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 30);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

static REDIS_MEMORY: Rule = Rule {
    id: "redis-memory-headroom",
    severity: Severity::Warning,
    title: "Redis may be killed while it saves: its limit is less than twice maxmemory",
    explain: "`maxmemory` counts data only. While an AOF rewrite or a snapshot runs, the child shares pages copy-on-write: \
              with many writes up to all of them exist twice, beside client and replication buffers. A container limit \
              below 2 × maxmemory risks an OOM kill just then. Lower maxmemory to half the limit, or turn persistence \
              off for a pure cache (`--save \"\" --appendonly no`).",
    check: |context, sink| {
        for (id, object, _, container) in
            of_image(context, &["redis", "valkey/valkey", "redis/redis-stack-server"])
        {
            let Some(max) = redis_option(container, "--maxmemory") else { continue };
            let (Some(bytes), Some(limit)) = (redis_bytes(&max.value), &container.limits.memory) else {
                continue;
            };
            let aof = redis_option(container, "--appendonly").is_some_and(|value| value.value == "yes");
            let limit_bytes = limit.value.units();
            if aof && limit_bytes < bytes.saturating_mul(2) {
                sink.at(
                    id,
                    limit.span,
                    format!(
                        "{}: with appendonly, a rewrite under writes may need up to 2 × maxmemory = {}; the limit is {}, so \
                         Redis is killed. Keep maxmemory at {} or less",
                        object.label(),
                        gib(bytes.saturating_mul(2)),
                        gib(limit_bytes),
                        gib(limit_bytes / 2)
                    ),
                );
            }
        }
    },
    fixture: Fixture {
        fires: stateful!(
            "1",
            "image: \"redis:7\", args: [--maxmemory, 2gb, --appendonly, \"yes\"], resources: {limits: {memory: 3Gi}}"
        ),
        silent: stateful!(
            "1",
            "image: \"redis:7\", args: [--maxmemory, 1gb, --appendonly, \"yes\"], resources: {limits: {memory: 3Gi}}"
        ),
    },
};

static REDIS_SHARDS: Rule = Rule {
    id: "redis-cluster-clients",
    severity: Severity::Info,
    title: "a Redis Cluster holds the memory of its masters only, and plain clients get MOVED",
    explain: "Of 2n pods with one replica each, n are masters: the cache holds n × maxmemory. A client that does not speak \
              the cluster protocol gets MOVED errors for the keys of other masters, and commands on several keys fail \
              unless the keys share a hash tag (`{user1}:a`). Silence it when clients and capacity are as meant.",
    check: |context, sink| {
        for (id, object, workload, container) in
            of_image(context, &["redis", "valkey/valkey", "redis/redis-stack-server"])
        {
            let Some(enabled) =
                redis_option(container, "--cluster-enabled").filter(|value| value.value == "yes")
            else {
                continue;
            };
            let Some(bytes) = redis_option(container, "--maxmemory").and_then(|max| redis_bytes(&max.value))
            else {
                continue;
            };
            let (replicas, _) = context.replicas_of(object, workload);
            let masters = replicas / 2;
            if masters < 2 {
                continue;
            }
            sink.at(
                id,
                enabled.span,
                format!(
                    "{}: {replicas} pods as {masters} masters with one replica each hold {masters} × {} = {} of data, not \
                     more; a client without cluster mode gets MOVED, and commands on several keys need a hash tag",
                    object.label(),
                    gib(bytes),
                    gib(bytes.saturating_mul(masters))
                ),
            );
        }
    },
    fixture: Fixture {
        fires: stateful!("6", "image: \"redis:7\", args: [--cluster-enabled, \"yes\", --maxmemory, 1gb]"),
        silent: stateful!("1", "image: \"redis:7\", args: [--maxmemory, 1gb]"),
    },
};

const POOL_VARIABLES: [&str; 8] = [
    "DB_POOL_SIZE",
    "DATABASE_POOL_SIZE",
    "POSTGRES_POOL_SIZE",
    "PG_POOL_SIZE",
    "DB_MAX_CONNECTIONS",
    "DATABASE_MAX_CONNECTIONS",
    "PG_MAX_CONNECTIONS",
    "OCTOLLM_DATABASE_POOL",
];
const OVERFLOW_VARIABLES: [&str; 3] = ["DB_MAX_OVERFLOW", "DATABASE_MAX_OVERFLOW", "POSTGRES_MAX_OVERFLOW"];

static CONNECTIONS: Rule = Rule {
    id: "connections-beyond-max",
    severity: Severity::Error,
    title: "all replicas at their pools' maximum open more connections than PostgreSQL takes",
    explain: "Each replica may open pool + overflow connections. At the scaler's maximum the sum must stay below \
              max_connections (100 by default, 3 of them kept for superusers): beyond it new pods fail with \"too many \
              clients already\", just when the fleet grows. Make pools smaller, put a pooler in between, or raise \
              max_connections with the memory for it.",
    check: |context, sink| {
        let Some((_, server, most)) = postgres_limit(context) else { return };
        let mut sum = 0_i64;
        let mut parts = Vec::new();
        let mut last = None;
        for (id, object, workload) in context.workloads() {
            for container in workload.template.running() {
                let number = |names: &[&str]| {
                    let env = names.iter().find_map(|name| container.env(name))?;
                    let value = env.value.as_ref()?;
                    value.value.trim().parse::<i64>().ok().map(|number| (number, value.span))
                };
                let Some((pool, span)) = number(&POOL_VARIABLES) else { continue };
                let overflow = number(&OVERFLOW_VARIABLES).map_or(0, |(number, _)| number);
                let (_, replicas) = context.replicas_of(object, workload);
                let each = pool.saturating_add(overflow);
                sum = sum.saturating_add(each.saturating_mul(replicas));
                let shown = if overflow > 0 { format!("({pool} + {overflow})") } else { pool.to_string() };
                parts.push(format!("{} {replicas} × {shown}", object.name()));
                last = Some((id, span));
            }
        }
        // Three connections are kept for superusers.
        if let Some((id, span)) = last.filter(|_| sum > most.saturating_sub(3)) {
            sink.at(
                id,
                span,
                format!(
                    "at the maxima {} = {sum} connections, but {} takes {most} (3 of them reserved): new pods fail with \
                     \"too many clients already\"",
                    parts.join(" and "),
                    server.label()
                ),
            );
        }
    },
    fixture: Fixture {
        fires: concat!(
            stateful!("1", "image: \"postgres:15\""),
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 10\n  selector: {matchLabels: {app: api}}\n",
            "  template:\n    metadata: {labels: {app: api}}\n    spec: {containers: [{name: api, image: api, env: [{name: DB_POOL_SIZE, value: \"10\"}, {name: DB_MAX_OVERFLOW, value: \"20\"}]}]}\n"
        ),
        silent: concat!(
            stateful!("1", "image: \"postgres:15\""),
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  replicas: 10\n  selector: {matchLabels: {app: api}}\n",
            "  template:\n    metadata: {labels: {app: api}}\n    spec: {containers: [{name: api, image: api, env: [{name: DB_POOL_SIZE, value: \"9\"}]}]}\n"
        ),
    },
};

/// The only PostgreSQL server of the set, with the connections it takes.
fn postgres_limit<'a>(context: &Context<'a>) -> Option<(ObjectId, &'a Object, i64)> {
    let mut servers = of_image(context, &["postgres", "bitnami/postgresql"]);
    let (id, object, _, container) = servers.next()?;
    if servers.next().is_some() {
        return None; // Which of them the pools point at is not in the manifests.
    }
    let written = container.words.iter().find_map(|word| {
        word.value.split_once("max_connections=").and_then(|(_, number)| number.parse::<i64>().ok())
    });
    Some((id, object, written.unwrap_or(100)))
}
