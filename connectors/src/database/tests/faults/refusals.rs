//! Servers that refuse: for the event's sake, or because nothing will ever work.

use super::*;
use crate::database::tests::facts::{all, uploaded};
use crate::database::tests::postgres::{empty, schema};
use sqlx::Row;

#[tokio::test]
async fn an_owner_too_long_for_an_index_is_the_events_fault() {
    let Some((catalog, _place)) = empty().await else { return };
    // What repeats itself would be compressed.
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'!' + (state >> 33) as u8 % 90)
    };
    let endless: String = (0..20_000).map(|_| random()).collect();
    let mut unfit = uploaded("unfit", "t", 100, None);
    if let Fact::Uploaded { owner, .. } = &mut unfit {
        *owner = endless;
    }
    let refused = catalog.record(&[uploaded("fit", "t", 100, None), unfit]).await;
    let Err(Trouble::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert!(format!("{refusal:?}").contains("unfit_for_database"), "{refusal:?}");
    assert_eq!(catalog.videos(&all(0, 1)).await.unwrap().total, 0, "half a batch was kept");
    catalog.record(&[uploaded("fit", "t", 100, None)]).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_dropped_in_mid_work_stops_the_work() {
    let Some(address) = schema().await else { return };
    let mut admin = somebody(&address).await;
    let name = format!("dropped_{}", std::process::id());
    say(&mut admin, format!("CREATE DATABASE {name}")).await;
    let mut there = url(&address);
    there.set_path(&name);
    there.set_query(None);
    let catalog = Database::open(&there.as_str().parse().unwrap()).await.unwrap();
    catalog.record(&[uploaded("v", "t", 100, None)]).await.unwrap();
    say(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    let refused = catalog.record(&[uploaded("v", "t", 50, None)]).await.unwrap_err();
    assert!(matches!(refused, Trouble::Fatal(_)), "{refused:?}");
    assert!(refused.to_string().contains("CREATE DATABASE"), "{refused}");
}

#[tokio::test]
async fn a_right_taken_away_in_mid_work_stops_the_work_and_names_it() {
    let Some((catalog, place)) = empty().await else { return };
    let mut admin = somebody(&place.address).await;
    let role = format!("clerk_{}", std::process::id());
    say(&mut admin, format!("CREATE ROLE {role} LOGIN")).await;
    let schema: String = admin.fetch_one("SELECT current_schema()").await.unwrap().get(0);
    say(&mut admin, format!("GRANT ALL ON SCHEMA {schema} TO {role}")).await;
    say(&mut admin, format!("GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")).await;
    let mut as_clerk = url(&place.address);
    as_clerk.set_username(&role).unwrap();
    let clerk = Database::open(&as_clerk.as_str().parse().unwrap()).await.unwrap();
    clerk.record(&[uploaded("v", "t", 100, None)]).await.unwrap();
    say(&mut admin, format!("REVOKE INSERT ON videos FROM {role}")).await;
    let refused = clerk.record(&[uploaded("w", "t", 50, None)]).await.unwrap_err();
    assert!(matches!(refused, Trouble::Fatal(_)), "{refused:?}");
    assert!(refused.to_string().contains("permission denied for table videos"), "{refused}");
    assert_eq!(catalog.videos(&all(0, 1)).await.unwrap().total, 1);
}
