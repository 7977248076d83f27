//! How text becomes words, the same for every index: nothing is left to an engine's own analysis,
//! so that a query means the same on all of them.

use ::tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, SimpleTokenizer, TextAnalyzer, TokenStream as _,
};

/// In every word field of every video, so that all engines count the same videos where they weigh how
/// rare a word is: some count those that have the field, some all. Nobody can ask for it.
pub(crate) const EVERYWHERE: &str = ".";

/// Splits at everything that is neither letter nor digit, ignores case and, for Latin letters,
/// accents. No stemming: `car` does not find `cars`.
pub(crate) fn analyzer() -> TextAnalyzer {
    TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

/// The words of a text, in order.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    analyzer().token_stream(text).process(&mut |token| words.push(token.text.clone()));
    words
}
