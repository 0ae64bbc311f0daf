//! The table of windows, and the properties that hold for all of them.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    let text = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => format!("{text}Z"),
    };
    Timestamp::try_from(text).expect("an instant")
}

fn length(text: &str) -> Length {
    text.parse().expect("a length")
}

fn zone(name: &str) -> Calendar {
    Calendar { zone: name.parse().expect("a zone"), ..Calendar::UTC }
}

/// The end of the window around `now` of a budget that was set at `anchor`.
fn resets_at(text: &str, calendar: &Calendar, anchor: Timestamp, now: Timestamp) -> Timestamp {
    current(Some(length(text)), anchor, calendar, now).end.expect("an end")
}

#[test]
fn each_length_ends_where_the_table_says() {
    let now = at("2025-01-15T10:30:15");
    for (text, first, second) in [
        ("30s", "2025-01-15T10:30:30", "2025-01-15T10:31:00"),
        ("45s", "2025-01-15T10:30:45", "2025-01-15T10:31:30"),
        ("7m", "2025-01-15T10:37", "2025-01-15T10:44"),
        ("15m", "2025-01-15T10:45", "2025-01-15T11:00"),
        ("45m", "2025-01-15T11:15", "2025-01-15T12:00"),
        ("90m", "2025-01-15T12:00", "2025-01-15T13:30"),
        ("1h", "2025-01-15T11:00", "2025-01-15T12:00"),
        ("5h", "2025-01-15T15:00", "2025-01-15T20:00"),
        ("6h", "2025-01-15T12:00", "2025-01-15T18:00"),
        ("1d", "2025-01-16", "2025-01-17"),
        ("24h", "2025-01-16", "2025-01-17"),
        ("36h", "2025-01-16T22:00", "2025-01-18T10:00"),
        ("48h", "2025-01-17", "2025-01-19"),
        ("2d", "2025-01-17", "2025-01-19"),
        ("168h", "2025-01-22", "2025-01-29"),
        ("7d", "2025-01-20", "2025-01-27"),
        ("1w", "2025-01-20", "2025-01-27"),
        ("2w", "2025-01-29", "2025-02-12"),
        ("10d", "2025-01-25", "2025-02-04"),
        ("31d", "2025-02-15", "2025-03-18"),
        ("30d", "2025-02-01", "2025-03-01"),
        ("1mo", "2025-02-01", "2025-03-01"),
        ("2mo", "2025-03-01", "2025-05-01"),
        ("3mo", "2025-04-01", "2025-07-01"),
        ("1y", "2026-01-01", "2027-01-01"),
        ("2y", "2027-01-01", "2029-01-01"),
    ] {
        let end = resets_at(text, &Calendar::UTC, now, now);
        assert_eq!(end, at(first), "{text}");
        assert_eq!(resets_at(text, &Calendar::UTC, now, end), at(second), "{text}, the next one");
    }
}

#[test]
fn days_follow_the_time_zone() {
    let now = at("2025-01-15T10:30:15");
    for (name, text, end) in [
        ("America/New_York", "1d", "2025-01-16T05:00"),
        ("America/New_York", "7d", "2025-01-20T05:00"),
        ("America/New_York", "30d", "2025-02-01T05:00"),
        ("America/New_York", "6h", "2025-01-15T11:00"),
        ("Asia/Kolkata", "1d", "2025-01-15T18:30"),
        ("Asia/Kolkata", "7d", "2025-01-19T18:30"),
        ("Asia/Kolkata", "30d", "2025-01-31T18:30"),
        ("Asia/Kolkata", "6h", "2025-01-15T12:30"),
    ] {
        assert_eq!(resets_at(text, &zone(name), now, now), at(end), "{name} {text}");
    }
}

#[test]
fn days_begin_at_the_configured_hour() {
    let noon = Calendar { day_start: NaiveTime::from_hms_opt(12, 0, 0).expect("noon"), ..Calendar::UTC };
    let now = at("2025-01-15T10:30:15");
    assert_eq!(resets_at("1d", &noon, now, now), at("2025-01-15T12:00"));
    assert_eq!(resets_at("30d", &noon, now, now), at("2025-02-01T12:00"));
}

#[test]
fn years_begin_on_the_configured_day() {
    let fiscal = |text: &str| Calendar { year_start: text.parse().expect("a day"), ..Calendar::UTC };
    for (begins, length, anchor, now, end) in [
        ("04-01", "1y", "2025-01-15", "2025-01-15", "2025-04-01"),
        ("04-01", "1y", "2025-01-15", "2025-04-01", "2026-04-01"),
        ("04-01", "1y", "2025-01-15", "2026-03-31T23:59:59", "2026-04-01"),
        ("10-01", "2y", "2024-10-01", "2026-01-01", "2026-10-01"),
        ("10-01", "2y", "2024-09-30", "2025-12-01", "2027-10-01"),
        ("12-31", "1y", "2024-02-29", "2024-12-30", "2024-12-31"),
        ("02-28", "1y", "2024-02-28", "2024-02-29", "2025-02-28"),
        // Months begin on the first, whatever a year does.
        ("04-15", "1mo", "2025-01-15", "2025-04-20", "2025-05-01"),
    ] {
        assert_eq!(
            resets_at(length, &fiscal(begins), at(anchor), at(now)),
            at(end),
            "{begins} {length} {anchor} {now}"
        );
    }
    for bad in ["", "4-1", "04-31", "02-29", "13-01", "04-01x", "2025-04-01", "04/01"] {
        assert_eq!(bad.parse::<YearStart>(), Err(ParseYearStartError), "{bad}");
    }
}

#[test]
fn a_border_belongs_to_the_window_that_it_opens() {
    let monday = at("2025-01-13");
    assert_eq!(resets_at("1h", &Calendar::UTC, monday, monday), at("2025-01-13T01:00"));
    assert_eq!(resets_at("1d", &Calendar::UTC, monday, monday), at("2025-01-14"));
    assert_eq!(resets_at("7d", &Calendar::UTC, monday, monday), at("2025-01-20"));
    let eve = at("2024-12-31T23:59:59");
    for text in ["1h", "1d", "30d", "1mo", "1y"] {
        assert_eq!(resets_at(text, &Calendar::UTC, eve, eve), at("2025-01-01"), "{text}");
    }
    assert_eq!(resets_at("7d", &Calendar::UTC, eve, eve), at("2025-01-06"));
    assert_eq!(resets_at("2mo", &Calendar::UTC, eve, eve), at("2025-02-01"));
    assert_eq!(resets_at("10d", &Calendar::UTC, eve, eve), at("2025-01-10"));
}

#[test]
fn days_of_a_clock_change_are_longer_or_shorter() {
    let new_york = zone("America/New_York");
    for (text, now, end) in [
        ("1d", "2025-03-08T20:00", "2025-03-09T05:00"),
        ("1d", "2025-03-09T12:00", "2025-03-10T04:00"),
        ("6h", "2025-03-10T03:59", "2025-03-10T04:00"),
        ("6h", "2025-11-03T04:30", "2025-11-03T05:00"),
    ] {
        assert_eq!(resets_at(text, &new_york, at(now), at(now)), at(end), "{text} {now}");
    }
    let before = at("2025-04-24T20:00");
    assert_eq!(
        resets_at("1d", &zone("Africa/Cairo"), before, before),
        at("2025-04-24T22:00"),
        "midnight of 25 April does not exist in Cairo"
    );
}

#[test]
fn idle_windows_are_skipped_not_replayed() {
    let window = current(Some(length("10d")), at("2025-01-15T10:30:15"), &Calendar::UTC, at("2025-01-28"));
    assert_eq!(window, Window { start: at("2025-01-25"), end: Some(at("2025-02-04")) });
}

#[test]
fn the_first_window_begins_when_the_length_was_set() {
    let anchor = at("2025-01-15T10:30:15");
    let window = current(Some(length("1d")), anchor, &Calendar::UTC, at("2025-01-15T11:00"));
    assert_eq!(window, Window { start: anchor, end: Some(at("2025-01-16")) });
    let open = current(None, anchor, &Calendar::UTC, at("2031-01-01"));
    assert_eq!(open, Window { start: anchor, end: None });
}

#[test]
fn lifetimes_are_exact_and_clamp_to_the_end_of_a_month() {
    for (start, text, end) in [
        ("2025-01-31", "1mo", "2025-02-28"),
        ("2024-01-31", "1mo", "2024-02-29"),
        ("2024-02-29", "1y", "2025-02-28"),
        ("2025-01-15T10:30:15", "30d", "2025-02-14T10:30:15"),
        ("2025-01-15T10:30:15", "20m", "2025-01-15T10:50:15"),
    ] {
        assert_eq!(length(text).after(at(start)), at(end), "{start} + {text}");
    }
}

#[test]
fn what_is_no_length_is_refused() {
    for text in [
        "",
        "d",
        "0d",
        "-1d",
        "1",
        "1.5d",
        "01d",
        "1 d",
        " 1d",
        "1D",
        "1day",
        "10monkeys",
        "30 min",
        "1M",
        "1mon",
        "101y",
        "1201mo",
        "4294967296s",
        "99999999999999999999s",
    ] {
        assert_eq!(text.parse::<Length>(), Err(ParseLengthError), "{text:?}");
    }
    assert_eq!(length("30min").to_string(), "30m");
    assert_eq!(length("12hr").to_string(), "12h");
    assert_eq!(length("100y").to_string(), "100y");
}

fn any_length() -> impl Strategy<Value = Length> {
    let unit = prop_oneof![Just("s"), Just("m"), Just("h"), Just("d"), Just("w"), Just("mo"), Just("y")];
    (1_u32..=60, unit).prop_map(|(count, unit)| length(&format!("{count}{unit}")))
}

fn any_calendar() -> impl Strategy<Value = Calendar> {
    let zones = prop_oneof![
        Just("UTC"),
        Just("America/New_York"),
        Just("America/St_Johns"),
        Just("Asia/Kolkata"),
        Just("Africa/Cairo"),
        Just("Pacific/Apia"),
        Just("Australia/Lord_Howe"),
        Just("Europe/Berlin"),
    ];
    (zones, 0_u32..24, 1_u32..13, 1_u32..29).prop_map(|(name, hour, month, day)| Calendar {
        day_start: NaiveTime::from_hms_opt(hour, 0, 0).expect("an hour"),
        year_start: YearStart { month, day },
        ..zone(name)
    })
}

proptest! {
    #[test]
    fn lengths_print_as_they_parse(length in any_length()) {
        prop_assert_eq!(length.to_string().parse::<Length>(), Ok(length));
    }

    #[test]
    fn junk_never_panics(text in "\\PC{0,16}") {
        let _ = text.parse::<Length>();
    }

    /// From the anchor on, each window begins where the one before ends, and
    /// every instant inside names the same window.
    #[test]
    fn windows_tile_time(
        length in any_length(),
        calendar in any_calendar(),
        anchor in 1_262_304_000_i64..1_893_456_000,
        offset in 0_i64..40_000_000,
        permille in 0_i64..1_000,
    ) {
        let anchor = Timestamp::EPOCH.plus_seconds(anchor);
        let now = anchor.plus_seconds(offset);
        let window = current(Some(length), anchor, &calendar, now);
        prop_assert!(window.contains(now));
        prop_assert!(window.start >= anchor);
        let end = window.end.expect("an end");
        prop_assert!(window.start < end);

        let within = window.start.micros() + end.micros_since(window.start) / 1_000 * permille;
        let within = Timestamp::from_micros(within);
        prop_assert_eq!(current(Some(length), anchor, &calendar, within), window);
        let last = Timestamp::from_micros(end.micros() - 1);
        prop_assert_eq!(current(Some(length), anchor, &calendar, last), window);
        prop_assert_eq!(current(Some(length), anchor, &calendar, end).start, end);
    }
}
