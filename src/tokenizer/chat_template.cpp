#include "tokenizer/chat_template.h"

#include <array>
#include <utility>

#include "core/error.h"

namespace stepstone {
namespace {

constexpr const char* kStart = "<|im_start|>";
constexpr const char* kEnd = "<|im_end|>";

std::int32_t control_token(const Tokenizer& tokenizer, const char* content) {
  const auto id = tokenizer.special_id(content);
  require<UsageError>(id.has_value(), "the tokenizer has no {} token, which the chat format needs",
                      content);
  return *id;
}

}  // namespace

ChatTemplate::ChatTemplate(Tokenizer tokenizer)
    : tokenizer_(std::move(tokenizer)),
      start_(control_token(tokenizer_, kStart)),
      end_(control_token(tokenizer_, kEnd)),
      newline_(tokenizer_.encode("\n")) {}

RenderedChat ChatTemplate::render(std::span<const Message> messages, bool ask) const {
  RenderedChat chat;
  for (const Message& message : messages) append(message, chat);
  if (ask) append_ask(chat);
  return chat;
}

void ChatTemplate::append(const Message& message, RenderedChat& chat) const {
  const bool assistant = message.role == "assistant";
  require<UsageError>(assistant || message.role == "user" || message.role == "system",
                      "chat role \"{}\": expected system, user or assistant", message.role);
  chat.ids.push_back(start_);
  tokenizer_.encode_append(message.role + "\n", chat.ids);
  chat.loss_mask.resize(chat.ids.size(), 0);
  tokenizer_.encode_append(message.content, chat.ids);
  chat.ids.push_back(end_);
  chat.loss_mask.resize(chat.ids.size(), assistant ? 1 : 0);
  chat.ids.insert(chat.ids.end(), newline_.begin(), newline_.end());
  chat.loss_mask.resize(chat.ids.size(), 0);
}

void ChatTemplate::append_ask(RenderedChat& chat) const {
  chat.ids.push_back(start_);
  tokenizer_.encode_append("assistant\n", chat.ids);
  chat.loss_mask.resize(chat.ids.size(), 0);
}

std::string_view ChatTemplate::jinja() {
  return "{%- for message in messages -%}\n"
         "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}\n"
         "{%- endfor -%}\n"
         "{%- if add_generation_prompt -%}\n"
         "{{- '<|im_start|>assistant\\n' -}}\n"
         "{%- endif -%}\n";
}

std::span<const std::string> ChatTemplate::special_tokens() {
  static const std::array<std::string, 3> tokens = {"<|endoftext|>", kStart, kEnd};
  return tokens;
}

}  // namespace stepstone
