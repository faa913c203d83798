// The ways in which chat models write that they want a function called.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace stepstone {

enum class ToolStyle : std::uint8_t {
  hermes,   // <tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>, as often as need be
  llama3,   // the whole answer is {"name": …, "parameters": {…}}, several with ";" between
  mistral,  // [TOOL_CALLS][{"name": …, "arguments": {…}}, …] or [TOOL_CALLS]NAME[ARGS]{…}
};

inline constexpr std::string_view kHermesOpen = "<tool_call>", kHermesClose = "</tool_call>";
inline constexpr std::string_view kLlamaTag = "<|python_tag|>";
inline constexpr std::string_view kMistralOpen = "[TOOL_CALLS]", kMistralArguments = "[ARGS]";

// The style that a chat template's text speaks of; hermes where it speaks of none.
inline ToolStyle tool_style_of(std::string_view chat_template) {
  const auto names = [&](std::string_view words) {
    return chat_template.find(words) != std::string_view::npos;
  };
  if (names(kMistralOpen)) return ToolStyle::mistral;
  if (!names(kHermesOpen) && (names("\"parameters\": ") || names(kLlamaTag))) {
    return ToolStyle::llama3;
  }
  return ToolStyle::hermes;
}

}  // namespace stepstone
