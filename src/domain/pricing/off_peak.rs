//! Off-peak hours: when a provider's cheaper prices hold.

use chrono::{Datelike, Days, NaiveTime, TimeZone, Timelike};
use chrono_tz::Tz;
use serde_json::Value;

use super::super::clock::Timestamp;

/// A daily stretch of time in UTC: the start included, the end not. It may
/// pass midnight; equal ends are the whole day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    start: NaiveTime,
    end: NaiveTime,
}

impl Hours {
    fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        Some(Self { start: time(start)?, end: time(end)? })
    }

    /// Whether a time of day lies inside; if so, whether the stretch began the
    /// day before.
    fn contains(&self, time: NaiveTime) -> Option<bool> {
        if self.start == self.end {
            return Some(false);
        }
        if self.start < self.end {
            return (self.start <= time && time < self.end).then_some(false);
        }
        if time >= self.start { Some(false) } else { (time < self.end).then_some(true) }
    }
}

/// Hours and the weekdays on which they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Schedule {
    hours: Vec<Hours>,
    /// ISO weekdays, 1 is Monday. Empty: every day.
    weekdays: Vec<u32>,
}

/// When the cheaper prices hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffPeak {
    schedules: Vec<Schedule>,
    zone: Tz,
}

impl OffPeak {
    /// Reads the object of a price list: `hours_utc` or `windows` of
    /// `hours_utc` and `weekdays`, with `weekday_timezone`. `None` if it can't
    /// be understood.
    #[must_use]
    pub fn parse(value: &Value) -> Option<Self> {
        let zone = match value.get("weekday_timezone") {
            None => Tz::UTC,
            Some(name) => name.as_str()?.parse().ok()?,
        };
        let schedules = match value.get("windows") {
            Some(windows) => windows.as_array()?.iter().map(schedule).collect::<Option<Vec<_>>>()?,
            None => vec![schedule(value)?],
        };
        Some(Self { schedules, zone })
    }

    /// Whether the cheaper prices hold at an instant.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        let utc = at.to_utc();
        let time = utc.time().with_nanosecond(0).unwrap_or_default();
        self.schedules.iter().any(|schedule| {
            schedule.hours.iter().any(|hours| {
                let Some(began_yesterday) = hours.contains(time) else { return false };
                let began = if began_yesterday { utc.naive_utc() - Days::new(1) } else { utc.naive_utc() };
                let weekday = self.zone.from_utc_datetime(&began).weekday().number_from_monday();
                schedule.weekdays.is_empty() || schedule.weekdays.contains(&weekday)
            })
        })
    }
}

fn schedule(value: &Value) -> Option<Schedule> {
    let hours = match value.get("hours_utc")? {
        Value::Array(list) => list.iter().map(|text| Hours::parse(text.as_str()?)).collect::<Option<_>>()?,
        text => vec![Hours::parse(text.as_str()?)?],
    };
    let weekdays = match value.get("weekdays") {
        None => Vec::new(),
        Some(list) => list
            .as_array()?
            .iter()
            .map(|day| u32::try_from(day.as_u64()?).ok().filter(|day| (1..=7).contains(day)))
            .collect::<Option<_>>()?,
    };
    Some(Schedule { hours, weekdays })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hours_include_their_start_and_pass_midnight() {
        let off_peak = OffPeak::parse(&json!({"hours_utc": "16:30-00:30"})).expect("hours");
        for (time, holds) in
            [("16:30:00", true), ("00:29:59", true), ("16:29:59", false), ("00:30:00", false), ("12:00:00", false)]
        {
            let at = Timestamp::try_from(format!("2025-03-05T{time}Z")).expect("an instant");
            assert_eq!(off_peak.holds(at), holds, "{time}");
        }
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_on_which_they_began() {
        let windows = json!({"windows": [
            {"hours_utc": ["22:00-02:00"], "weekdays": [5]},
            {"hours_utc": "00:00-00:00", "weekdays": [7]},
        ]});
        let off_peak = OffPeak::parse(&windows).expect("windows");
        // 7 March 2025 is a Friday.
        for (time, holds) in [
            ("2025-03-07T21:59:59", false),
            ("2025-03-07T22:00:00", true),
            ("2025-03-08T01:59:59", true),
            ("2025-03-08T22:00:00", false),
            ("2025-03-07T01:00:00", false),
            ("2025-03-09T13:00:00", true),
        ] {
            let at = Timestamp::try_from(format!("{time}Z")).expect("an instant");
            assert_eq!(off_peak.holds(at), holds, "{time}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for value in
            [json!({}), json!({"hours_utc": "25:00-26:00"}), json!({"hours_utc": "1:00-2:00", "weekdays": [8]})]
        {
            assert_eq!(OffPeak::parse(&value), None, "{value}");
        }
    }
}
