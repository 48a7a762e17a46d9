"""Of every statement: how surely it is known, the function that it is about and the test that would fail first."""

from __future__ import annotations

from typing import NamedTuple

STANDING = {
    "P": "the authors' own words",
    "S": "second-hand: a survey, or a report on a re-implementation",
    "D": "derived here",
    "C": "this project's choice",
}


class Source(NamedTuple):
    """standing: letters of STANDING; function, test: PATH::NAME from the root of the repository."""

    standing: str
    function: str
    test: str


_OBJECTIVE = "elq_ref/elq/gradients.py::objective"
_SCALE = "elq_ref/elq/levels.py::scale"
_CODES = "elq_ref/elq/levels.py::nearest_codes"
_BAND = "elq_ref/elq/bands.py::partition"
_FREEZE = "elq_ref/training/stages.py::freeze"
_SETTLE = "elq_ref/methods/elq.py::ELQ.settle"
_RUN = "elq_ref/training/stages.py::quantize"
_DERIVE = "elq_ref/deploy/derive.py::derive"
_SUMS = "elq_ref/runtime/integer_interpreter.py::accumulate"
_ROUND = "elq_ref/runtime/integer_interpreter.py::requantize"
_WHOLE = "elq_ref/runtime/integer_interpreter.py::interpret_int8"

_TABLE = f"""
1 L(W_hat) is that of the deployed network
    D | {_OBJECTIVE}
    elq/test_objective.py::test_gradient_is_that_of_its_function
1 the objective bounds the deployed loss
    D | {_OBJECTIVE}
    elq/test_objective.py::test_gradient_is_that_of_its_function
1 equality
    D | {_OBJECTIVE}
    elq/test_objective.py::test_equal_losses_have_sign_zero
1 a1 < 1 does not bound
    D | {_OBJECTIVE}
    elq/test_objective.py::test_a1_zero_is_float_training
1 one term a layer
    S C | {_OBJECTIVE}
    elq/test_objective.py::test_layer_scope_is_a_sum_of_terms
1 a second loss with only group 1 quantized
    P D | {_OBJECTIVE}
    elq/test_second_loss.py::test_the_gradient_is_that_of_pytorch
2 the first-order remainder has slope 2
    D | elq_ref/ops/loss.py::softmax_cross_entropy
    ops/test_ops.py
2 its factor is the curvature
    D | elq_ref/ops/loss.py::softmax_cross_entropy
    ops/test_ops.py
3 the nearest level minimises E
    S C | {_CODES}
    elq/test_levels.py::test_nearest_level_has_the_least_error_of_all_codes
3 the exact optimum
    D | {_SCALE}
    elq/test_levels.py::test_l2_scale_is_the_optimum_over_all_codes_and_scales
3 the exact optimum, many weights
    D | {_SCALE}
    statements/test_statements.py::test_exact_scale_is_scipys_minimum
3 Lloyd's alternation never raises E
    D | {_CODES}
    elq/test_levels.py::test_nearest_level_has_the_least_error_of_all_codes
3 BWN's closed form
    D | {_SCALE}
    elq/test_levels.py::test_scale_rules_are_their_formulas
3 scale rules
    S C | {_SCALE}
    elq/test_levels.py::test_scale_rules_are_their_formulas
3 d alpha / dw
    D | elq_ref/elq/levels.py::scale_slope
    elq/test_levels.py::test_scale_slope_is_the_derivative
3 sums in float64
    C | {_SCALE}
    elq/test_levels.py::test_scale_rules_are_their_formulas
3 the nearest level in one sweep
    C | elq_ref/elq/levels.py::nearest_level
    elq/test_levels.py::test_ties_signs_and_zeros
3 d alpha / dw where weights tie
    C | elq_ref/elq/levels.py::scale_slope
    elq/test_levels.py::test_scale_slope_is_the_derivative
4 Gaussian weights: optimal scale
    D | {_SCALE}
    statements/test_statements.py::test_quadrature_is_scipys
4 Gaussian weights: optimal threshold
    D | {_SCALE}
    statements/test_statements.py::test_quadrature_is_scipys
4 the optimum is a fixed point
    D | {_SCALE}
    statements/test_statements.py::test_quadrature_is_scipys
4 the package's optimum on Gaussian weights
    D | {_SCALE}
    statements/test_statements.py::test_exact_scale_is_scipys_minimum
4 TWN's 0.7 lies between two optima
    D | {_SCALE}
    statements/test_statements.py::test_quadrature_is_scipys
4 the method's scale depends on n
    S D | {_SCALE}
    statements/test_statements.py::test_quadrature_is_scipys
5 gradient constant
    D | {_OBJECTIVE}
    elq/test_objective.py::test_gradient_is_that_of_its_function
5 gradient straight-through
    D | {_OBJECTIVE}
    elq/test_objective.py::test_gradient_is_that_of_its_function
5 gradient taylor-inner
    S D | {_OBJECTIVE}
    elq/test_objective.py::test_gradient_is_that_of_its_function
5 gradient taylor-elementwise
    S D | {_OBJECTIVE}
    elq/test_objective.py::test_gradient_is_that_of_its_function
5 shared parameters
    D | {_OBJECTIVE}
    elq/test_objective.py::test_gradient_is_that_of_its_function
5 frozen weights
    D | {_OBJECTIVE}
    elq/test_objective.py::test_frozen_entries_are_exactly_zero_whatever_the_gradient_holds
5 s = 0
    D | {_OBJECTIVE}
    elq/test_objective.py::test_equal_losses_have_sign_zero
5 a scale that follows W
    D | {_OBJECTIVE}
    elq/test_objective.py::test_moving_scale_adds_the_chain_rule_through_alpha
5 one term a layer
    S D | {_OBJECTIVE}
    elq/test_objective.py::test_layer_scope_is_a_sum_of_terms
5 a second loss with only group 1 quantized
    P D | {_OBJECTIVE}
    elq/test_second_loss.py::test_the_gradient_is_that_of_pytorch
6 the band of a stage
    P C | {_BAND}
    elq/test_bands.py::test_ternary_band_is_centred_on_the_boundary
6 bands are nested
    D | {_BAND}
    elq/test_bands.py::test_bands_are_nested_and_disjoint_from_what_is_frozen
6 group 1 is disjoint from what is frozen
    D | {_BAND}
    elq/test_bands.py::test_bands_are_nested_and_disjoint_from_what_is_frozen
6 a freeze leaves W_hat
    D | {_CODES}
    elq/test_levels.py::test_levels_are_fixed_points_bit_for_bit
6 the last stage leaves no weight off its levels
    P D | {_BAND}
    elq/test_bands.py::test_tails_and_the_last_stage
6 levels are fixed points
    D | elq_ref/elq/levels.py::dequantize
    elq/test_levels.py::test_levels_are_fixed_points_bit_for_bit
6 tails are drawn in
    C | elq_ref/elq/bands.py::draw_in
    elq/test_bands.py::test_draw_in_moves_only_free_weights_beyond_alpha
6 frozen weights in training
    P D | elq_ref/training/sgd.py::SGD.update
    training/test_stages.py::test_frozen_weights_never_change_a_bit
6 the frozen set only grows
    P D | {_FREEZE}
    training/test_stages.py::test_frozen_weights_never_change_a_bit
6 frozen weights have no momentum
    C | {_FREEZE}
    training/test_stages.py::test_momentum_of_what_stays_free_is_kept_or_reset
6 a freeze leaves W_hat, in a run
    D | {_FREEZE}
    training/test_stages.py::test_a_freeze_changes_neither_w_hat_nor_its_loss
6 a freeze leaves L(W_hat)
    D | {_FREEZE}
    training/test_stages.py::test_a_freeze_changes_neither_w_hat_nor_its_loss
6 all weights end on a level
    P D | {_RUN}
    training/test_stages.py::test_every_weight_ends_on_a_level
6 frequent: what freezes goes to the code it had most often
    C | {_SETTLE}
    methods/test_frequent.py::test_a_weight_freezes_on_the_level_it_was_on_most_often
6 frequent: a freeze moves W_hat there and nowhere else
    C D | {_SETTLE}
    methods/test_frequent.py::test_a_weight_freezes_on_the_level_it_was_on_most_often
6 frequent: all weights end on a level
    C D | {_SETTLE}
    methods/test_frequent.py::test_a_weight_freezes_on_the_level_it_was_on_most_often
7 frequent: E never rises at a freeze
    D | {_SETTLE}
    methods/test_frequent.py::test_a_weight_freezes_on_the_level_it_was_on_most_often
7 E never rises at a freeze
    D | {_FREEZE}
    training/test_stages.py::test_a_freeze_changes_neither_w_hat_nor_its_loss
7 only free weights contribute to E
    D | {_FREEZE}
    training/test_stages.py::test_a_freeze_changes_neither_w_hat_nor_its_loss
7 the remainder is bounded by ||W_hat - W||^2
    D | elq_ref/ops/loss.py::softmax_cross_entropy
    ops/test_ops.py
8 a run replayed by hand, ternary
    C D | {_RUN}
    training/test_golden_run.py::test_free_run_in_float64
8 a run replayed by hand, binary
    C D | {_RUN}
    training/test_golden_run.py::test_free_run_in_float64
8 a run replayed by hand, positive
    C D | {_RUN}
    training/test_golden_run.py::test_free_run_in_float64
8 a run replayed by hand, assumed
    C D | {_RUN}
    training/test_golden_run.py::test_free_run_in_float64
8 a run replayed by hand, float
    P D | {_RUN}
    training/test_stages.py::test_keep_float_leaves_a_layer_alone
8 a run replayed by hand, moving
    C D | {_RUN}
    training/test_stages.py::test_alpha_is_fixed_from_the_start_or_from_the_first_freeze
8 a run replayed by hand, channels
    C D | {_RUN}
    training/test_stages.py::test_every_stage_starts_its_schedule_anew
8 a run replayed by hand, rising
    C D | {_RUN}
    elq/test_rising.py::test_a_run_makes_the_pass_at_w_until_a1_has_risen
8 running averages follow W_hat
    C | {_RUN}
    training/test_stages.py::test_running_averages_follow_the_pass_at_what
packed BatchNorm is folded beside the codes
    D | elq_ref/graph_builder.py::to_graph
    deploy/test_packing.py::test_batch_norm_lies_beside_the_codes
packed the graph computes what the network computes
    D | elq_ref/deploy/packing.py::pack
    deploy/test_packing.py::test_the_packed_network_computes_exactly_what_the_network_does
packed codes and alpha give W_hat back
    D | elq_ref/deploy/packing.py::unpack
    deploy/test_packing.py::test_unpack_returns_w_hat_bit_for_bit
packed every operation on real numbers
    C | elq_ref/runtime/interpreter.py::interpret
    runtime/test_interpreter.py::test_the_other_ops_are_what_the_format_page_says
packed a Session runs the graph
    D | elq_ref/runtime/session.py::Session
    runtime/test_session.py::test_a_network_with_every_op_stays_within_the_carried_bound
packed bytes and multiply-adds
    C | elq_ref/runtime/packed.py::PackedNetwork
    runtime/test_packed_network.py::test_the_numbers_of_a_network_and_its_table
packed codes in bits
    C | elq_ref/graph/codes.py::pack_codes
    graph/test_codes.py::test_packing_sets_the_documented_bits_and_unpacking_returns_the_codes
packed trits
    C | elq_ref/graph/codes.py::pack_trits
    graph/test_codes.py::test_trits_are_digits_to_the_base_3
packed the bytes of a file
    C | elq_ref/runtime/format.py::to_bytes
    runtime/test_format.py::test_any_safetensors_reader_finds_the_documented_tensors
packed what is read is what was written
    C | elq_ref/runtime/format.py::from_bytes
    runtime/test_format.py::test_what_is_written_is_read_back
packed what the page forbids is refused
    C | elq_ref/runtime/format.py::from_bytes
    runtime/test_format_deviations.py::test_every_deviation_is_one_line
integers the input
    C | elq_ref/deploy/derive.py::input_table
    runtime/test_integer.py::test_the_table_of_the_input
integers constants of a requantization
    C D | {_DERIVE}
    runtime/test_integer.py::test_the_constants_of_a_layer_are_those_of_exact_fractions
integers weights of float layers
    C | {_DERIVE}
    runtime/test_integer.py::test_float_weights_become_127_steps_of_their_channel
integers constants of an addition
    C D | {_DERIVE}
    runtime/test_integer.py::test_the_constants_of_an_addition_are_those_of_exact_fractions
integers factor of a logit
    C | {_DERIVE}
    runtime/test_integer_network.py::test_every_kind_of_output
integers headroom
    D | elq_ref/runtime/integer_constants.py::Requantize.prove
    runtime/test_integer.py::test_the_last_step_of_the_headroom
integers tables
    C | {_DERIVE}
    runtime/test_integer_tables.py::test_a_table_is_the_function_in_exact_arithmetic
integers ends of a clamp
    C | {_DERIVE}
    runtime/test_integer_tables.py::test_a_clip_is_a_clamp_or_a_table
integers how near a product is
    D | {_DERIVE}
    runtime/test_integer_tables.py::test_all_products_are_as_near_as_the_page_says
integers sums
    D | {_SUMS}
    runtime/test_integer_network.py::test_every_op
integers sums of means
    D | {_SUMS}
    runtime/test_integer.py::test_the_constants_of_means_and_of_a_scale_shift
integers products
    C | {_SUMS}
    runtime/test_integer_tables.py::test_the_products_that_the_page_computes_by_hand
integers what is looked up
    C | elq_ref/runtime/integer_interpreter.py::look_up
    runtime/test_integer_tables.py::test_the_tables_of_a_prelu_are_one_a_channel
integers what moves or chooses
    C | elq_ref/runtime/interpreter.py::run_node
    runtime/test_integer_network.py::test_every_op
integers a requantization is one rounding
    C | {_ROUND}
    runtime/test_integer.py::test_extreme_sums_through_both_forms_of_the_requantization
integers 32 bits are enough
    D | {_ROUND}
    runtime/test_integer.py::test_extreme_sums_through_both_forms_of_the_requantization
integers how near a requantization is
    D | {_DERIVE}
    runtime/test_integer.py::test_every_result_is_as_near_as_the_page_says
integers addition
    C | {_WHOLE}
    runtime/test_integer.py::test_the_addition_that_the_page_computes_by_hand
integers every value of a network
    C | {_WHOLE}
    runtime/test_integer_network.py::test_every_op
integers raw and logits
    C | {_WHOLE}
    runtime/test_integer_network.py::test_every_kind_of_output
integers a Session gives the definition's bits
    D | elq_ref/runtime/session.py::Session.raw
    runtime/test_integer_network.py::test_every_op
integers calibration, histograms
    C | elq_ref/deploy/calibration.py::Histogram
    deploy/test_calibration.py::test_a_histogram_counts_and_does_not_know_how_it_was_divided
integers calibration, limits by count
    C | elq_ref/deploy/calibration.py::percentile
    deploy/test_calibration.py::test_the_scales_that_the_methods_choose
integers calibration, least squares
    C | elq_ref/deploy/calibration.py::least_squares
    deploy/test_calibration.py::test_the_scales_that_the_methods_choose
integers the error that int8 adds
    C | elq_ref/deploy/calibration.py::value_errors
    deploy/test_calibration.py::test_the_report_against_the_values_themselves
integers calibration of a network
    C | elq_ref/deploy/calibration.py::calibrate
    deploy/test_calibration.py::test_histograms_of_a_network_are_those_of_its_values
"""


def _read(table: str) -> dict[str, Source]:
    """The table by statement: three lines each."""
    lines = [line.strip() for line in table.strip().splitlines()]
    found = {}
    for name, what, test in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        standing, _, function = what.partition(" | ")
        found[name] = Source(standing, function, f"tests/{test}")
    return found


SOURCES = _read(_TABLE)
