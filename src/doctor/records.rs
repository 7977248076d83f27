//! Search index and catalogue.

use super::{
    finding::{Check, Finding},
    place::Setup,
    within::{QUESTION, answer, thread},
};
use crate::{connections, index};
use connectors::{
    database::{self, Address, Limits, OpenError, Tables},
    opensearch::{Looked, OpenSearch, OpenSearchConfig},
    tantivy,
};
use engine::Trouble;

pub(super) const OPENSEARCH: &str = "REELMILL_OPENSEARCH (--opensearch)";
pub(super) const DATABASE: &str = "REELMILL_DATABASE (--database)";

pub(super) async fn index(setup: &Setup) -> Finding {
    let check = Check::Index;
    match index::settings(&setup.args.mill.shared.index, setup.region()) {
        Err(failure) => {
            Finding::failed(check, failure.to_string(), format!("correct {OPENSEARCH}"))
        }
        Ok(Some(config)) => {
            let config = OpenSearchConfig { patience: QUESTION, ..config };
            match answer::<_, Trouble>(OpenSearch::look(&config)).await {
                Ok(looked) => judged(&looked, &config.alias),
                // It says what to do, and names the setting where that is wrong.
                Err(trouble) => Finding::failed(
                    check,
                    trouble.to_string(),
                    format!(
                        "see {OPENSEARCH}, its user and password or REELMILL_OPENSEARCH_IAM, and \
                         REELMILL_OPENSEARCH_INDEX"
                    ),
                ),
            }
        }
        Ok(None) => {
            let dir = setup.data.join("index");
            match thread(move || tantivy::look(dir)).await {
                Ok(Ok(Some(count))) => own(setup, check, format!("{count} documents"), OPENSEARCH),
                Ok(Ok(None)) => own(setup, check, "made at the start".to_owned(), OPENSEARCH),
                Ok(Err(error)) => Finding::failed(
                    check,
                    error.to_string(),
                    "as said there, or choose another REELMILL_DATA (--data)",
                ),
                Err(late) => Finding::failed(check, late, "see the disk of REELMILL_DATA (--data)"),
            }
        }
    }
}

/// What a process has to itself is too little for a deployment.
fn own(setup: &Setup, check: Check, state: String, setting: &str) -> Finding {
    let found = format!("embedded, below {}: {state}", setup.data.display());
    if setup.kafka.is_elsewhere() {
        let found = format!("{found}; of several processes each would have its own");
        return Finding::warning(check, found, format!("set {setting} for a deployment in parts"));
    }
    Finding::ok(check, found)
}

fn judged(looked: &Looked, alias: &str) -> Finding {
    let check = Check::Index;
    let Looked { index, has_template, is_blocked, health } = looked;
    if *is_blocked {
        return Finding::failed(
            check,
            format!("the index of {alias} takes no writes: most often its disk is full"),
            "make room for OpenSearch and lift the block, or run `reelmill index rebuild`",
        );
    }
    if health == "red" {
        return Finding::failed(
            check,
            "OpenSearch is red: parts of indexes are missing",
            "see `GET /_cluster/allocation/explain` of OpenSearch",
        );
    }
    match index {
        None => Finding::warning(
            check,
            format!("there is no alias {alias}: an empty index is made at the start"),
            "where there are recordings already: reelmill index rebuild",
        ),
        Some(index) if !has_template => Finding::warning(
            check,
            format!("{alias} stands for {index}, and its template is missing"),
            "it is written when `run`, `serve` or `up` starts",
        ),
        Some(index) => Finding::ok(check, format!("{alias} stands for {index} ({health})")),
    }
}

pub(super) async fn database(setup: &Setup) -> Finding {
    let check = Check::Database;
    let address = match connections::database(&setup.data, &setup.args.mill.shared) {
        Ok(address) => address,
        Err(failure) => {
            return Finding::failed(check, failure.to_string(), format!("correct {DATABASE}"));
        }
    };
    let limits = Limits { connect: QUESTION, ..Limits::default() };
    let is_own = setup.args.mill.shared.database.is_none();
    match database::look(&address, limits).await {
        Ok(tables) => held(setup, &address, tables, is_own),
        Err(error @ OpenError::Incompatible { .. }) => {
            Finding::failed(check, error.to_string(), format!("see {DATABASE}"))
        }
        Err(OpenError::Trouble { trouble, .. }) => {
            let remedy = match is_own {
                true => {
                    "mend or move the file, or choose another REELMILL_DATA (--data)".to_owned()
                }
                false => {
                    format!("start the server, or correct {DATABASE}: user, password, host, name")
                }
            };
            Finding::failed(check, trouble.to_string(), remedy)
        }
    }
}

fn held(setup: &Setup, address: &Address, tables: Tables, is_own: bool) -> Finding {
    let check = Check::Database;
    let state = match tables {
        Tables::Foreign { cause, remedy } => {
            let found = format!("{address} was written by another version: {cause}");
            return Finding::failed(check, found, format!("{remedy}, in {DATABASE}"));
        }
        Tables::Standby => {
            let found = format!("{address} is a standby and takes no writes");
            return Finding::failed(check, found, format!("name the primary in {DATABASE}"));
        }
        Tables::None { may_be_made: false } | Tables::Behind { may_be_made: false, .. } => {
            let found = format!("tables of {address} are missing, and this user may not make any");
            let remedy = format!("GRANT CREATE ON SCHEMA public TO the user of {DATABASE}");
            return Finding::failed(check, found, remedy);
        }
        Tables::Behind { version, ours, .. } => {
            let found = format!("tables of {address} are of version {version}, ours of {ours}");
            let remedy = "they are brought up to date at the start; keep a copy before that";
            return Finding::warning(check, found, remedy);
        }
        Tables::None { .. } => "empty, tables are made at the start".to_owned(),
        Tables::Current { version } => format!("tables of version {version}, up to date"),
    };
    match is_own {
        true => own(setup, check, state, DATABASE),
        false => Finding::ok(check, format!("{address}: {state}")),
    }
}
