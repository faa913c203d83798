#include "generate_flags.h"

namespace stepstone::cli {

void add_generate_flags(CLI::App& verb, GenerateFlags& flags) {
  GenerateOptions& o = flags.options;
  SamplingParams& s = o.sampling;
  verb.add_option("-m,--model", flags.model, "Model folder")->required();
  verb.add_option("-n,--n-predict", o.max_tokens, "New tokens at most")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
  verb.add_option("-c,--ctx-size", flags.context, "Tokens of context to use (default: the model's)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  verb.add_option("--temp,--temperature", s.temperature, "Temperature; 0: always the most probable")
      ->capture_default_str();
  verb.add_option("--top-k", s.top_k, "Of the K most probable tokens; 0: of all")
      ->capture_default_str();
  verb.add_option("--top-p", s.top_p, "Of the fewest tokens that reach this probability; 1: of all")
      ->capture_default_str();
  verb.add_option("--min-p", s.min_p,
                  "Of tokens at least so probable, relative to the best; 0: of all")
      ->capture_default_str();
  verb.add_option("--repeat-penalty", s.repeat_penalty, "Against tokens of the text; 1: none")
      ->capture_default_str();
  verb.add_option("--presence-penalty", s.presence_penalty, "Subtracted from logits of such tokens")
      ->capture_default_str();
  verb.add_option("--frequency-penalty", s.frequency_penalty, "Subtracted for each time they occur")
      ->capture_default_str();
  verb.add_option("--repeat-last-n", s.penalty_window,
                  "Tokens that penalties look back at; 0: none, -1: all")
      ->capture_default_str();
  verb.add_option("-s,--seed", s.seed, "The same seed gives the same text")->capture_default_str();
  verb.add_option("--stop", o.stop_strings, "End before this text; may be given several times")
      ->allow_extra_args(false);
}

}  // namespace stepstone::cli
