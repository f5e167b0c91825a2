//! Cases for [`RelationalStore`](crate::ports::RelationalStore).
//!
//! `conformance_relational!(module, make)` wants an expression that gives `(Arc<dyn RelationalStore>, Arc<ManualClock>, guard)`: an
//! empty, writable store that goes by the clock (standing at [`fixtures::start`](super::fixtures::start)), and whatever must
//! outlive it, such as a temporary folder.

mod changes;
mod claims;
mod concurrency;
mod costs;
mod deletes;
mod drops;
mod exactly_once;
mod jobs;
mod keys;
mod ledger;
mod life;
mod merges;
mod patches;
mod queue;
mod random;
mod random_money;
mod reads;
mod records;
mod restore;
mod scopes;
mod segments;
mod values;
mod vectors;
mod writes;

pub use changes::*;
pub use claims::*;
pub use concurrency::*;
pub use costs::*;
pub use deletes::*;
pub use drops::*;
pub use exactly_once::*;
pub use jobs::*;
pub use keys::*;
pub use ledger::*;
pub use life::*;
pub use merges::*;
pub use patches::*;
pub use queue::*;
pub use random::*;
pub use reads::*;
pub use records::*;
pub use restore::*;
pub(crate) use scopes::LOOKALIKES;
pub use scopes::*;
pub use segments::*;
pub use values::*;
pub use vectors::*;
pub use writes::*;

/// Runs every relational case on fresh stores: `conformance_relational!(module, make)`, or with a third argument, a function that
/// runs a future to its end (default: `futures::executor::block_on`).
#[macro_export]
macro_rules! conformance_relational {
    ($module:ident, $make:expr) => {
        $crate::conformance_relational!($module, $make, $crate::conformance::block_on);
    };
    ($module:ident, $make:expr, $run:path) => {
        $crate::__conformance_cases!(with_time $module, $make, $run, relational, [
            an_unknown_scope_has_no_changes,
            a_memory_changed_twice_comes_once,
            pages_join_to_the_whole_log,
            upto_bounds_the_answer,
            numbers_have_no_gaps,
            changes_carry_the_vector_asked_for,
            an_id_put_again_comes_as_a_put_alone,
            housekeeping_changes_nothing_a_reader_sees,
            old_tombstones_go_and_raise_the_floor,
            claims_are_found_by_subject_and_relation,
            claims_are_listed_in_id_order,
            claims_of_one_owner_are_found_among_those_of_others,
            a_claim_follows_its_memory,
            claims_of_other_scopes_stay_there,
            a_claim_said_again_keeps_the_greater_weight,
            a_claim_that_a_merge_makes_stronger_keeps_what_it_was,
            merges_beyond_the_bound_of_history_drop_the_oldest,
            a_claim_about_the_past_still_merges,
            writes_from_many_threads_lose_nothing,
            writes_of_many_tasks_lose_nothing,
            racing_statements_merge,
            racing_updates_lose_no_step,
            a_batch_raced_with_itself_is_applied_once,
            racing_leases_share_no_job,
            readers_see_whole_batches,
            a_closed_store_is_unavailable,
            a_sound_store_has_no_findings,
            a_deleted_memory_leaves_no_row,
            deleting_what_is_missing_changes_nothing,
            the_last_deletion_of_an_id_is_known_for_ever,
            deleting_one_memory_leaves_the_others,
            late_writes_about_a_deleted_memory_leave_nothing,
            trimming_keeps_the_newest_of_the_layer,
            trimming_a_session_leaves_the_others,
            trimming_bounds,
            erasing_a_session_leaves_everything_else,
            erasing_a_user_leaves_everything_else,
            erasing_a_project_leaves_nothing_of_it,
            erasing_a_tenant_leaves_the_others,
            erasing_nothing_is_fine,
            numbers_go_on_after_an_erasure,
            ops_after_an_erasure_stay,
            retries_across_an_erasure_write_nothing,
            a_batch_applied_twice_writes_once,
            a_retry_is_answered_before_preconditions_are_checked,
            a_batch_id_counts_per_scope,
            a_failed_batch_may_be_tried_again,
            a_batch_id_is_remembered_for_a_day,
            a_key_gives_the_same_receipt_again,
            a_key_with_another_body_is_a_conflict,
            keys_count_per_tenant_project_and_verb,
            a_key_is_remembered_for_a_day,
            a_repeated_put_is_answered_whatever_its_preconditions_say_now,
            a_key_used_twice_in_a_batch_writes_once,
            a_replayed_merge_says_merged,
            deleting_a_memory_takes_its_receipts,
            a_job_is_leased_when_it_is_due,
            a_lease_that_runs_out_makes_the_job_due_again,
            finishing_needs_the_lease,
            a_job_never_leased_is_not_held,
            a_retried_job_comes_later_with_its_error,
            a_parked_job_uses_up_no_attempt,
            a_job_that_keeps_failing_is_a_dead_letter,
            a_buried_job_is_a_dead_letter_at_once,
            a_job_that_kills_its_workers_is_a_dead_letter,
            an_extended_lease_holds_longer,
            leases_keep_their_limit,
            a_job_commits_with_its_batch,
            jobs_are_listed_oldest_first,
            a_key_is_found_by_its_id,
            keys_are_listed_for_their_own_tenant,
            a_key_is_revoked_within_its_tenant,
            a_key_never_lands_in_another_tenant,
            tenants_are_listed_by_name,
            erasing_a_tenant_takes_its_keys,
            tenants_take_turns,
            a_record_is_replaced_by_the_next_of_its_name,
            records_are_listed_by_name_in_their_own_project,
            a_write_can_depend_on_a_record,
            erasing_a_project_takes_its_records,
            a_lease_of_any_scope_is_fenced,
            only_the_kinds_asked_for_are_taken,
            a_job_that_kills_the_workers_of_all_is_a_dead_letter,
            a_dead_letter_is_requeued,
            jobs_are_listed_in_pages,
            the_queue_is_counted,
            a_period_brings_one_job,
            scheduled_jobs_do_not_pile_up,
            a_schedule_leaves_jobs_about_something_alone,
            each_scope_with_memories_is_scheduled,
            the_same_statement_merges,
            statements_merge_within_a_batch,
            merged_tags_stop_at_the_bound,
            memories_without_a_key_stay_apart,
            a_turn_with_a_key_merges_and_keeps_its_place,
            a_deleted_memory_frees_its_text,
            statements_of_other_scopes_do_not_merge,
            keys_are_compared_byte_for_byte,
            a_new_version_keeps_the_old_one,
            history_comes_oldest_first,
            a_patch_in_place_makes_no_version,
            a_patch_moves_what_it_names,
            a_patch_of_a_missing_memory_is_not_found,
            a_patch_to_a_duplicate_is_a_conflict,
            a_patch_may_say_what_something_past_said,
            a_patch_moves_the_key,
            history_is_bounded,
            what_older_versions_name_is_found_and_dropped,
            a_patch_keeps_removes_or_replaces_the_vectors,
            the_history_of_an_unknown_memory_is_empty,
            random_batches_agree_with_the_reference_store,
            scan_pages_in_id_order,
            filters_mean_what_filter_matches_says,
            expired_memories_come_by_their_expiry,
            only_what_has_expired_is_deleted_as_expired,
            derived_memories_come_in_id_order,
            access_adds_up_beside_the_memory,
            stats_count_the_scope,
            audit_rows_come_newest_first,
            scopes_come_in_name_order,
            reads_keep_their_limits,
            the_receipt_key_stays_the_same,
            costs_are_the_sums_of_the_ledger,
            costs_and_rows_keep_to_the_time_asked_for,
            nothing_spent_sums_to_nothing,
            costs_and_rows_keep_their_limits,
            a_row_of_the_ledger_reads_back_exactly,
            a_booking_is_dated_by_the_store,
            money_of_similar_names_stays_apart,
            tenants_that_spent_the_most_come_first,
            erasing_takes_names_and_leaves_amounts,
            erasing_a_tenant_takes_its_money,
            housekeeping_leaves_the_ledger,
            a_budget_changes_in_the_parts_named,
            defaults_count_for_a_tenant_that_set_nothing,
            a_reservation_holds_at_both_levels_and_in_both_windows,
            a_limit_is_filled_exactly_and_never_passed,
            a_full_project_leaves_the_others_room,
            callers_at_once_never_pass_a_limit_together,
            what_cost_more_than_was_held_is_booked_in_full,
            an_end_counts_once,
            a_reservation_is_ended_from_its_own_project_only,
            an_end_by_id_is_of_the_call_that_was_reserved,
            what_ran_out_is_released_or_booked,
            a_reserve_ends_what_ran_out_first,
            reservations_run_out_in_pages,
            an_end_is_booked_to_the_day_and_month_of_its_reserve,
            a_reservation_id_is_used_once,
            a_batch_id_holds_and_settles_once,
            a_batch_with_a_refused_reserve_changes_nothing,
            amounts_that_no_call_can_cost_are_refused,
            lives_come_in_id_order_with_what_decides,
            strength_fades_only_where_nobody_touched_it,
            strength_comes_back_only_where_it_is_as_it_was_left,
            only_what_nobody_touched_is_deleted_as_untouched,
            audit_rows_are_bounded,
            kept_ids_are_found_by_their_hashes,
            a_memory_is_restored_as_it_was,
            restoring_the_same_version_again_changes_nothing,
            restoring_another_version_is_a_conflict,
            a_restored_statement_merges,
            a_restored_statement_does_not_merge_with_what_is_past,
            a_restored_memory_about_a_taken_subject_comes_without_the_key,
            a_deleted_memory_may_be_restored,
            scopes_with_similar_names_see_only_their_own,
            writes_reach_their_own_scope_only,
            the_same_id_in_two_scopes_is_two_memories,
            a_memory_never_lands_in_another_scope,
            segments_come_back_in_order,
            a_segment_replaces_those_inside_its_range,
            deleting_a_member_drops_its_segments,
            trimming_and_erasing_drop_segments,
            a_segment_with_a_deleted_member_is_skipped,
            a_member_that_came_back_does_not_save_an_old_segment,
            a_segment_from_before_an_erasure_is_skipped,
            texts_come_back_byte_for_byte,
            names_come_back_byte_for_byte,
            numbers_come_back_exactly,
            times_come_back_to_the_microsecond,
            batches_may_be_dated_long_ago,
            metadata_comes_back_as_it_was,
            ids_sort_by_their_bytes,
            vectors_come_by_rising_number,
            vectors_come_back_bit_for_bit,
            without_vector_lists_what_lacks_one,
            a_vector_of_another_version_is_skipped,
            a_vector_replaces_the_one_before,
            setting_the_embedder_drops_the_vectors_of_others,
            a_memory_reads_back_as_it_was_put,
            get_keeps_the_order_asked,
            a_failing_op_in_the_middle_writes_nothing,
            a_failing_precondition_writes_nothing,
            version_is_holds_for_that_version_only,
            version_is_of_a_missing_memory_is_not_found,
            seq_is_holds_until_anything_touches_the_memory,
            absent_refuses_a_live_id_only,
            a_key_is_taken_while_its_memory_lives,
            racing_writes_under_a_free_key_make_one,
            embedder_is_refuses_another_embedder,
            ops_see_the_ops_before_them,
            preconditions_see_the_state_before_the_batch,
            a_live_id_is_not_put_twice,
            each_visible_change_takes_the_next_number,
            what_readers_do_not_see_takes_no_number,
            places_in_a_session_are_given_at_commit,
            an_empty_batch_is_applied,
            a_batch_of_a_thousand_is_one_transaction,
        ]);
    };
}
