//! The columns of usage events as they are.

use super::columns::{Cell, Column, instant, money, text, word};

/// The columns, named as the fields of `UsageEvent`.
pub(super) fn columns() -> Vec<Column> {
    macro_rules! text {
        ($field:ident) => {
            Column::text(stringify!($field), |event| text(&event.$field))
        };
    }
    macro_rules! number {
        ($field:ident) => {
            Column::number(stringify!($field), |event| Cell::Number(event.$field))
        };
    }
    vec![
        text!(request_id),
        Column::instant("start_time", |event| instant(event.start_time.as_ref())),
        Column::instant("end_time", |event| instant(event.end_time.as_ref())),
        Column::instant("completion_start_time", |event| instant(event.completion_start_time.as_ref())),
        Column::instant("recorded_at", |event| instant(event.recorded_at.as_ref())),
        text!(key_id),
        text!(key_hash),
        text!(key_alias),
        text!(user_id),
        text!(team_id),
        text!(organization_id),
        text!(customer_id),
        Column::text("tags", |event| json(&event.tags)),
        text!(model),
        text!(model_group),
        text!(provider),
        text!(deployment),
        text!(call_type),
        Column::text("status", |event| word(event.status().as_str_name(), "USAGE_STATUS_")),
        text!(error_code),
        text!(error_message),
        Column::flag("cache_hit", |event| Cell::Flag(event.cache_hit)),
        Column::money("cost", |event| money(event.cost.as_ref())),
        Column::money("list_cost", |event| money(event.list_cost.as_ref())),
        Column::text("cost_source", |event| word(event.cost_source().as_str_name(), "COST_SOURCE_")),
        text!(price_id),
        Column::text("unpriced_parts", |event| json(&event.unpriced_parts)),
        number!(prompt_tokens),
        number!(completion_tokens),
        number!(total_tokens),
        number!(cache_read_tokens),
        number!(cache_write_tokens),
        number!(reasoning_tokens),
        number!(cache_write_1h_tokens),
        number!(cache_write_12h_tokens),
        number!(cache_write_audio_tokens),
        number!(cache_read_audio_tokens),
        number!(cache_read_image_tokens),
        number!(input_audio_tokens),
        number!(input_image_tokens),
        number!(input_video_tokens),
        number!(output_audio_tokens),
        number!(output_image_tokens),
        number!(output_video_tokens),
        number!(citation_tokens),
        number!(images),
        number!(image_width),
        number!(image_height),
        text!(image_quality),
        number!(input_images),
        text!(input_seconds),
        text!(output_seconds),
        text!(resolution),
        number!(input_characters),
        number!(output_characters),
        number!(queries),
        number!(max_results),
        number!(pages),
        number!(annotation_pages),
        number!(credits),
        number!(messages),
        number!(web_searches),
        text!(search_context_size),
        number!(maps_queries),
        number!(code_sessions),
        number!(file_search_calls),
        text!(file_search_gb_days),
        text!(vector_gb_days),
        number!(computer_use_input_tokens),
        number!(computer_use_output_tokens),
        text!(service_tier),
        Column::flag("batch", |event| Cell::Flag(event.batch)),
        text!(region),
        text!(geo),
        text!(speed),
        text!(session_id),
    ]
}

/// A list as JSON; absent if it is empty.
fn json(list: &[String]) -> Cell {
    if list.is_empty() { Cell::Absent } else { Cell::Text(serde_json::Value::from(list.to_vec()).to_string()) }
}
