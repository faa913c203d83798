// From a conversation to token ids, through the model's own chat template (jinja/template.h).
//
// Control tokens come from the template's text alone: bytes that come from a message, a tool or
// another argument never take part in one, whatever the template does to them. What lies between
// two control tokens is encoded in one go, so ordinary conversations give the ids that the
// reference implementations give.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/template.h"
#include "tokenizer/tokenizer.h"

namespace stepstone {

struct Message {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// What a template is given, as in the API of `transformers`.
struct ChatInput {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  nlohmann::ordered_json tools = nullptr;
  // More variables of the template, such as enable_thinking; never one of the above or below.
  nlohmann::ordered_json arguments = nlohmann::ordered_json::object();
  bool ask = false;  // add_generation_prompt: the start of an assistant's message follows
};

// Throws UsageError unless `arguments` may be those of a ChatInput: an object, no name of which a
// template has already.
void check_template_arguments(const nlohmann::ordered_json& arguments);

struct RenderedChat {
  std::vector<std::int32_t> ids;
  // As long as ids. 1 where the token is an assistant's own: what {% generation %} marks, or in a
  // template without it, the assistant's strings and the control token that ends them. Loss is
  // taken where the *predicted* token has a 1.
  std::vector<std::uint8_t> loss_mask;
};

class ChatTemplate {
 public:
  // ChatML, the format of this project:
  //   <|im_start|>ROLE\nCONTENT<|im_end|>\n     once per message
  //   <|im_start|>assistant\n                   then, to ask for an answer
  // Throws UsageError unless the tokenizer has <|im_start|> and <|im_end|> as control tokens.
  explicit ChatTemplate(Tokenizer tokenizer);

  // The template `jinja`, which errors call `name`. Throws FormatError.
  ChatTemplate(Tokenizer tokenizer, std::string_view jinja, std::string name);

  // Throws UsageError for a role that is none of kRoles, an argument of a reserved name and what
  // the template refuses; FormatError for an error of the template.
  RenderedChat render(const ChatInput& input) const;
  RenderedChat render(std::span<const Message> messages, bool ask = false) const;
  // The ids alone.
  std::vector<std::int32_t> ids(const ChatInput& input) const {
    return encode(text(input), {}).ids;
  }

  // The text of the same, byte by byte with its origin.
  jinja::Text text(const ChatInput& input) const;

  // ChatML as a Jinja template, for chat_template.jinja.
  static std::string_view jinja();
  // The control tokens that a tokenizer for ChatML needs.
  static std::span<const std::string> special_tokens();

 private:
  // Offsets, rising, where an assistant's message without content stands.
  std::vector<std::size_t> empty_answers(const ChatInput& input, std::string_view rendered) const;
  RenderedChat encode(const jinja::Text& text, std::span<const std::size_t> empty_answers) const;
  void encode_text(const jinja::Text& text, bool at_start, std::string_view learned,
                   RenderedChat& chat) const;

  Tokenizer tokenizer_;
  jinja::Template template_;
};

}  // namespace stepstone
