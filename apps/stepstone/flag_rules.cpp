#include "flag_rules.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "hub/cache.h"

namespace stepstone::cli {
namespace {

// `expected` with the limits of T, where a person can read them.
template <typename T>
std::string limited(const char* expected) {
  if constexpr (std::is_floating_point_v<T>) return expected;
  using Limits = std::numeric_limits<T>;
  return fmt::format("{} from {} to {}", std::is_signed_v<T> ? expected : "a whole number",
                     Limits::min(), Limits::max());
}

// Empty when all of `text` is a decimal number that a T holds; else what was expected.
template <typename T>
std::string expect_number(std::string& text, const char* expected) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  bool good = error == std::errc() && end == digits.data() + digits.size() && !digits.empty();
  if constexpr (std::is_floating_point_v<T>) good = good && std::isfinite(value);
  if (error == std::errc::result_out_of_range && end == digits.data() + digits.size()) {
    return fmt::format("out of range: expected {}, got \"{}\"", limited<T>(expected), text);
  }
  if (!good) return fmt::format("expected {}, got \"{}\"", expected, text);
  // The parser behind us would take 010 for eight.
  if constexpr (std::is_integral_v<T>) text = std::to_string(value);
  return {};
}

void apply_to(CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto is = [&](std::string_view name) {
    return type == name || type.starts_with(std::string(name) + ":");
  };
  const auto number = [&](auto check, const char* expected) {
    option.transform(CLI::Validator([=](std::string& text) { return check(text, expected); }, ""));
  };
  const bool unit = type.find("SIZE") != std::string::npos;  // as in 500MB
  if (is("UINT") && !unit) number(expect_number<std::uint64_t>, "a whole number, 0 or more");
  if (is("INT")) number(expect_number<std::int64_t>, "a whole number");
  if (is("FLOAT")) number(expect_number<double>, "a number");
  // A model may be named as in a hub; from here on it is a path.
  if (option.check_name("--model") || option.get_name() == "model") {
    option.transform([](const std::string& text) { return find_model(text).string(); }, "");
  }
  const bool list = option.get_items_expected_max() > 1;
  if (!list) option.multi_option_policy(CLI::MultiOptionPolicy::Throw);
}

// "-n,--documents" for "--documents": the parser knows a flag by one name, and another may have
// been typed.
std::string all_names(const CLI::App& app, const std::string& name) {
  for (const CLI::App* verb : app.get_subcommands()) {
    if (std::string names = all_names(*verb, name); !names.empty()) return names;
  }
  const CLI::Option* option = app.get_option_no_throw(name);
  return option == nullptr ? "" : option->get_name(false, true);
}

std::string until(const std::string& text, std::string_view end) {
  return text.substr(0, text.find(end));
}

}  // namespace

void apply_flag_rules(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) apply_to(*option);
  for (CLI::App* verb : app.get_subcommands({})) apply_flag_rules(*verb);
}

std::string complaint(const CLI::ParseError& error, const CLI::App& app) {
  std::string text = error.what();
  const std::string name = until(text, ": ");
  if (name.starts_with("--") && name.size() < text.size()) {
    if (const std::string names = all_names(app, name); !names.empty()) {
      text.replace(0, name.size(), names);
    }
  }
  if (text.find(": At Most ") != std::string::npos) {
    return until(text, ": At Most ") + ": given more than once";
  }
  if (text.find(" required ") != std::string::npos && text.ends_with(" missing")) {
    return until(text, ": ") + ": needs a value";
  }
  constexpr std::string_view kConvert = "Could not convert: ";
  if (text.starts_with(kConvert)) {
    return until(text.substr(kConvert.size()), " = ") + ": the number is out of range";
  }
  return text;
}

}  // namespace stepstone::cli
