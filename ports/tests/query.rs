//! The query language, as a user meets it.

use ports::{MAX_QUERY_CHARS, MAX_QUERY_DEPTH, Match, Query, day_start_ms, parse_query};

fn word(word: &str) -> Query {
    Query::Term(Match { field: None, word: word.to_owned() })
}

fn field(field: &str, word: &str) -> Query {
    Query::Term(Match { field: Some(field.to_owned()), word: word.to_owned() })
}

fn phrase(words: &[&str]) -> Query {
    Query::Phrase(words.iter().map(|word| (*word).to_owned()).collect())
}

fn not(query: Query) -> Query {
    Query::Not(Box::new(query))
}

/// xorshift64*, so that a failing seed can be run again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

#[test]
fn queries_mean_what_they_say() {
    let (a, b, c) = (word("a"), word("b"), word("c"));
    let table = [
        ("", Query::All),
        ("  ", Query::All),
        ("*", Query::All),
        ("car", word("car")),
        ("a b c", Query::And(vec![a.clone(), b.clone(), c.clone()])),
        ("a AND b c", Query::And(vec![a.clone(), b.clone(), c.clone()])),
        ("a OR b", Query::Or(vec![a.clone(), b.clone()])),
        ("a b OR c", Query::Or(vec![Query::And(vec![a.clone(), b.clone()]), c.clone()])),
        ("a (b OR c)", Query::And(vec![a.clone(), Query::Or(vec![b.clone(), c.clone()])])),
        ("a AND NOT b", Query::And(vec![a.clone(), not(b.clone())])),
        ("a -b", Query::And(vec![a.clone(), not(b.clone())])),
        ("NOT (a b)", not(Query::And(vec![a.clone(), b.clone()]))),
        ("NOT NOT a", not(not(a.clone()))),
        ("a and b", Query::And(vec![a.clone(), word("and"), b.clone()])),
        ("e-mail", word("e-mail")),
        ("12:30", word("12:30")),
        ("\"traffic light\"", phrase(&["traffic", "light"])),
        ("\"rock & roll\"", phrase(&["rock", "roll"])),
        ("\"AND\"", word("AND")),
        ("\"say \\\"hi\\\"\"", phrase(&["say", "\"hi\""])),
        ("-\"traffic light\"", not(phrase(&["traffic", "light"]))),
        ("Label:car", field("label", "car")),
        ("-label:car", not(field("label", "car"))),
        ("owner:\"ann  lee\"", field("owner", "ann lee")),
        ("after:2026-01-31", field("after", "2026-01-31")),
        ("жираф (日本 OR ÉTÉ)", {
            Query::And(vec![word("жираф"), Query::Or(vec![word("日本"), word("ÉTÉ")])])
        }),
    ];
    for (text, tree) in table {
        assert_eq!(parse_query(text), Ok(tree), "{text}");
    }
}

#[test]
fn a_wrong_query_names_the_place_and_the_problem() {
    let table = [
        ("a \"b c", 2, "this quote is not closed, add another \""),
        ("a (b c", 2, "this parenthesis is not closed, add a )"),
        ("a b) c", 3, "this parenthesis closes nothing, remove it or open one"),
        ("ü ()", 3, "a word is missing before this parenthesis"),
        ("a AND", 5, "a word is missing at the end"),
        ("OR b", 0, "a word is missing before this OR"),
        ("a AND AND b", 6, "a word is missing before this AND"),
        ("NOT", 3, "a word is missing at the end"),
        ("a -", 3, "a word is missing at the end"),
        ("a \"\"", 2, "there is no word between these quotes"),
        ("a !?", 2, "`!?` has no letter or digit to look for"),
        ("label: car", 6, "`label:` needs a value"),
        ("label:(a b)", 6, "a field takes one value, write label:one OR label:two"),
        (":car", 0, "the name of a field is missing before the colon"),
        ("after:yesterday", 6, "`yesterday` is not a day, write 2026-01-31"),
        ("before:2026-02-29", 7, "`2026-02-29` is not a day, write 2026-01-31"),
    ];
    for (text, at, problem) in table {
        let error = parse_query(text).unwrap_err();
        assert_eq!((error.at, error.problem.as_str()), (at, problem), "{text}");
    }
}

#[test]
fn an_unknown_field_is_answered_with_the_nearest_one() {
    for (text, nearest) in [
        ("lable:car", "label"),
        ("persons:ann", "person"),
        ("titel:x", "title"),
        ("own:x", "owner"),
    ] {
        let error = parse_query(&format!("a {text}")).unwrap_err();
        assert_eq!(error.at, 2);
        assert!(error.problem.contains(&format!("the nearest is `{nearest}`")), "{error}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let longest = "ж".repeat(MAX_QUERY_CHARS);
    assert_eq!(parse_query(&longest), Ok(word(&longest)));
    assert_eq!(parse_query(&"ж".repeat(MAX_QUERY_CHARS + 1)).unwrap_err().at, MAX_QUERY_CHARS);

    let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parse_query(&nested(MAX_QUERY_DEPTH)), Ok(word("a")));
    assert_eq!(parse_query(&nested(MAX_QUERY_DEPTH + 1)).unwrap_err().at, MAX_QUERY_DEPTH);
    assert_eq!(parse_query(&"-".repeat(MAX_QUERY_CHARS)).unwrap_err().at, MAX_QUERY_DEPTH);
    assert!(parse_query(&format!("a {}b", "(".repeat(900))).is_err());
}

#[test]
fn no_text_makes_the_parser_panic_and_errors_point_into_the_text() {
    let pieces = [
        "a",
        "B",
        "ж",
        "日本",
        "🙂",
        "\u{0301}",
        " ",
        "  ",
        "\t",
        "\u{a0}",
        "\0",
        "(",
        ")",
        "\"",
        "\\",
        "\\\"",
        ":",
        "-",
        "*",
        "AND",
        " AND ",
        " OR ",
        "NOT ",
        "label:",
        "after:",
        "2026-01-31",
        "foo:",
        "1",
        ".",
        "/",
    ];
    let (mut parsed, mut refused) = (0, 0);
    for seed in 1..=20_000 {
        let mut dice = Dice(seed);
        let text: String = (0..dice.below(14)).map(|_| pieces[dice.below(pieces.len())]).collect();
        match parse_query(&text) {
            Ok(query) => {
                parsed += 1;
                let shown = query.to_string();
                assert_eq!(parse_query(&shown), Ok(query), "seed {seed}: {text:?} as {shown:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(error.at <= text.chars().count(), "seed {seed}: {text:?}: {error}");
                assert!(!error.problem.is_empty());
            }
        }
    }
    assert!(parsed > 1_000 && refused > 1_000, "{parsed} parsed, {refused} refused");
}

/// A tree as the parser builds them: two or more parts, and no AND or OR around a single one.
fn random_tree(dice: &mut Dice, depth: usize) -> Query {
    let words = ["a", "AND", "-b", "label:x", ":", "c\"d", "e\\", "(f)", "ж", "x y", "12:30"];
    let leaf = |dice: &mut Dice| format!("k{}", words[dice.below(words.len())].replace(' ', "_"));
    match if depth == 0 { dice.below(4) } else { dice.below(7) } {
        0 => Query::All,
        1 => word(&leaf(dice)),
        2 => field(["label", "text", "owner"][dice.below(3)], &format!("{} z", leaf(dice))),
        3 => Query::Phrase((0..2 + dice.below(3)).map(|_| leaf(dice)).collect()),
        4 => not(random_tree(dice, depth - 1)),
        5 => Query::And((0..2 + dice.below(2)).map(|_| random_tree(dice, depth - 1)).collect()),
        _ => Query::Or((0..2 + dice.below(2)).map(|_| random_tree(dice, depth - 1)).collect()),
    }
}

#[test]
fn every_tree_survives_being_written_and_read() {
    for seed in 1..=5_000 {
        let tree = random_tree(&mut Dice(seed), 3);
        let shown = tree.to_string();
        if shown.chars().count() <= MAX_QUERY_CHARS {
            assert_eq!(parse_query(&shown), Ok(tree), "seed {seed}: {shown}");
        }
    }
}

#[test]
fn positive_terms_are_those_a_match_can_be_shown_for() {
    let shown = |text: &str| -> Vec<String> {
        parse_query(text).unwrap().positive_terms().iter().map(ToString::to_string).collect()
    };
    assert_eq!(shown("person AND NOT tie"), ["person"]);
    assert_eq!(shown("a OR (\"b c\" -d) a"), ["a", "\"b c\""]);
    assert_eq!(shown("NOT (a -label:b)"), ["label:b"]);
    assert!(shown("-a -b").is_empty());
    assert!(shown("*").is_empty());
}

#[test]
fn days_start_at_midnight_utc() {
    for (day, ms) in [
        ("1970-01-01", Some(0)),
        ("1969-12-31", Some(-86_400_000)),
        ("2000-02-29", Some(951_782_400_000)),
        ("2026-01-31", Some(1_769_817_600_000)),
        ("9999-12-31", Some(253_402_214_400_000)),
        ("1900-02-29", None),
        ("2026-13-01", None),
        ("2026-00-01", None),
        ("2026-04-31", None),
        ("2026-1-31", None),
        ("+026-01-31", None),
        ("2026-01-31Z", None),
        ("２026-01-31", None),
    ] {
        assert_eq!(day_start_ms(day), ms, "{day}");
    }
    let mut expected = -62_167_219_200_000; // 0000-01-01
    for year in 0..=9999 {
        for month in 1..=12 {
            for date in 1..=31 {
                if let Some(ms) = day_start_ms(&format!("{year:04}-{month:02}-{date:02}")) {
                    assert_eq!(ms, expected, "{year}-{month}-{date}");
                    expected += 86_400_000;
                }
            }
        }
    }
}
