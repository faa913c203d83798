#include "speculation_flags.h"

namespace stepstone::cli {

SpeculationOptions SpeculationFlags::load() const {
  require<UsageError>(options.model_least <= options.model_most,
                      "--spec-draft-n-min {} is more than --spec-draft-n-max {}: no guess would "
                      "ever be made",
                      options.model_least, options.model_most);
  SpeculationOptions loaded = options;
  if (!draft_model.empty()) loaded.model = load_draft_model(draft_model);
  return loaded;
}

void add_speculation_flags(CLI::App& verb, SpeculationFlags& flags) {
  const auto positive = CLI::Range(std::int64_t{1}, std::int64_t{1} << 16);
  SpeculationOptions& o = flags.options;
  verb.add_option_function<std::string>(
          "--spec-type", [&o](const std::string& type) { o.lookup = type == "ngram-simple"; },
          "ngram-simple: guess that the text goes on as where it said the same before; none. "
          "Guesses change the speed, never the text")
      ->check(CLI::IsMember({"none", "ngram-simple"}))
      ->default_str(o.lookup ? "ngram-simple" : "none");
  verb.add_option("--spec-ngram-simple-size-n", o.lookup_match, "Tokens that must be the same")
      ->check(positive)
      ->capture_default_str();
  verb.add_option("--spec-ngram-simple-size-m", o.lookup_most, "Tokens guessed from there at most")
      ->check(positive)
      ->capture_default_str();
  verb.add_option("--model-draft,--spec-draft-model", flags.draft_model,
                  "A smaller model of the same vocabulary that guesses (also: -md)");
  verb.add_option("--spec-draft-n-max", o.model_most, "Tokens that it guesses at most")
      ->check(positive)
      ->capture_default_str();
  verb.add_option("--spec-draft-p-min,--draft-p-min", o.model_p_min,
                  "Probability below which it ends its guesses")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb.add_option("--spec-draft-n-min", o.model_least, "Fewer are not worth it")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 16))
      ->capture_default_str();
}

}  // namespace stepstone::cli
