//! The pipeline as a value.

use std::path::Path;

#[test]
fn the_readme_shows_the_pipeline_as_it_is() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let picture = readme.split("```mermaid\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(picture, Some(reelmill::pipeline::drawing().as_str()), "run `reelmill pipeline`");
}
