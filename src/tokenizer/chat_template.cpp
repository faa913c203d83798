#include "tokenizer/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace stepstone {
namespace {

using OrderedJson = nlohmann::ordered_json;
using jinja::Origin;
using jinja::Value;

constexpr Origin kInput = 1;      // a string of the caller's
constexpr Origin kAssistant = 2;  // one of an assistant's message

constexpr const char* kStart = "<|im_start|>";
constexpr const char* kEnd = "<|im_end|>";

// Templates write roles into control tokens, so only these pass, and count as the template's words.
constexpr std::string_view kRoles[] = {"system",       "developer",   "user",       "assistant",
                                       "tool",         "function",    "ipython",    "model",
                                       "tool_results", "observation", "environment"};

const jinja::Template& chatml() {
  static const jinja::Template parsed(ChatTemplate::jinja(), "ChatML");
  return parsed;
}

Value message_value(const OrderedJson& message) {
  require<UsageError>(
      message.is_object() && message.contains("role") && message["role"].is_string(),
      "a chat message must be an object with a \"role\"");
  const auto& role = message["role"].get_ref<const std::string&>();
  require<UsageError>(std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles),
                      "chat role \"{}\": expected system, user, assistant or tool", role);
  const Origin origin = role == "assistant" || role == "model" ? kAssistant : kInput;
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [key, item] : message.items()) {
    items.emplace_back(jinja::Text(key, kInput),
                       key == "role" ? Value(jinja::Text(role)) : jinja::from_json(item, origin));
  }
  return Value::dict(std::move(items));
}

bool is_empty_answer(const OrderedJson& message) {
  const auto content = message.find("content");
  return message["role"] == "assistant" && content != message.end() && *content == "" &&
         !message.contains("tool_calls");
}

}  // namespace

ChatTemplate::ChatTemplate(Tokenizer tokenizer)
    : tokenizer_(std::move(tokenizer)), template_(chatml()) {
  for (const char* content : {kStart, kEnd}) {
    require<UsageError>(tokenizer_.special_id(content).has_value(),
                        "the tokenizer has no {} token, which the chat format needs", content);
  }
}

ChatTemplate::ChatTemplate(Tokenizer tokenizer, std::string_view jinja, std::string name)
    : tokenizer_(std::move(tokenizer)), template_(jinja, std::move(name)) {}

void check_template_arguments(const OrderedJson& arguments) {
  require<UsageError>(arguments.is_object(), "template arguments: expected an object");
  for (const auto& [name, value] : arguments.items()) {
    for (const char* taken :
         {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "pad_token",
          "raise_exception", "range", "dict", "namespace", "joiner", "strftime_now"}) {
      require<UsageError>(name != taken, "template argument \"{}\": the name is taken", name);
    }
  }
}

jinja::Text ChatTemplate::text(const ChatInput& input) const {
  require<UsageError>(input.messages.is_array(), "messages: expected an array");
  std::vector<Value> messages;
  for (const OrderedJson& message : input.messages) messages.push_back(message_value(message));
  std::vector<std::pair<Value, Value>> variables;
  variables.emplace_back("messages", Value::list(std::move(messages)));
  variables.emplace_back("tools", jinja::from_json(input.tools, kInput));
  variables.emplace_back("add_generation_prompt", input.ask);
  const auto name_token = [&](const char* name, std::optional<std::int32_t> id) {
    if (id) variables.emplace_back(name, jinja::Text(tokenizer_.token_bytes(*id)));
  };
  name_token("bos_token", tokenizer_.bos());
  name_token("eos_token", tokenizer_.eos());
  name_token("pad_token", tokenizer_.pad());
  check_template_arguments(input.arguments);
  for (const auto& [name, value] : input.arguments.items()) {
    variables.emplace_back(jinja::Text(name), jinja::from_json(value, kInput));
  }
  return template_.render(Value::dict(std::move(variables)));
}

RenderedChat ChatTemplate::render(const ChatInput& input) const {
  const jinja::Text rendered = text(input);
  return encode(rendered, empty_answers(input, rendered.bytes));
}

// An empty answer leaves no byte of the assistant's in the text. It stands where the text goes on
// after all that comes before it and the question for an answer.
std::vector<std::size_t> ChatTemplate::empty_answers(const ChatInput& input,
                                                     std::string_view rendered) const {
  std::vector<std::size_t> places;
  ChatInput before = input;
  before.messages = OrderedJson::array();
  before.ask = true;
  for (const OrderedJson& message : input.messages) {
    if (is_empty_answer(message)) {
      try {
        const std::string start = text(before).bytes;
        if (rendered.starts_with(start)) places.push_back(start.size());
      } catch (const Error&) {
        // A template that cannot ask here does not say where the answer begins.
      }
    }
    before.messages.push_back(message);
  }
  return places;
}

RenderedChat ChatTemplate::render(std::span<const Message> messages, bool ask) const {
  ChatInput input{.ask = ask};
  for (const Message& message : messages) {
    input.messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  return render(input);
}

RenderedChat ChatTemplate::encode(const jinja::Text& text,
                                  std::span<const std::size_t> empty_answers) const {
  const bool marked = std::any_of(text.origin.begin(), text.origin.end(),
                                  [](Origin origin) { return origin & jinja::kGenerated; });
  std::string trusted, learned;  // per byte: may spell a control token; is the assistant's
  for (const Origin origin : text.origin) {
    const auto source = static_cast<Origin>(origin & ~jinja::kGenerated);
    trusted += source == jinja::kTemplateOrigin;
    learned += marked ? (origin & jinja::kGenerated) != 0 : source == kAssistant;
  }
  RenderedChat chat;
  for (const Tokenizer::Section& section : tokenizer_.sections(text.bytes, trusted)) {
    if (section.control < 0) {
      encode_text(text.substr(section.begin, section.end - section.begin), section.begin == 0,
                  std::string_view(learned).substr(section.begin, section.end - section.begin),
                  chat);
    } else {
      const bool after_empty =
          std::binary_search(empty_answers.begin(), empty_answers.end(), section.begin);
      const bool ends_answer =
          !marked && (after_empty || (section.begin > 0 && learned[section.begin - 1]));
      chat.ids.push_back(section.control);
      chat.loss_mask.push_back(learned[section.begin] || ends_answer);
    }
  }
  return chat;
}

// The tokens of text without control tokens. A token with a byte of the assistant's is learned.
// Where a normalizer makes it unclear which bytes a token stands for, the text is cut there.
void ChatTemplate::encode_text(const jinja::Text& text, bool at_start, std::string_view learned,
                               RenderedChat& chat) const {
  const std::size_t before = chat.ids.size();
  tokenizer_.encode_append(text.bytes, chat.ids, at_start);
  std::size_t covered = 0;
  for (std::size_t i = before; i < chat.ids.size(); ++i) {
    covered += tokenizer_.token_bytes(chat.ids[i]).size();
  }
  const bool all = learned.find('\0') == std::string_view::npos;
  if (all || learned.find('\1') == std::string_view::npos) {
    chat.loss_mask.resize(chat.ids.size(), all);
  } else if (covered == text.size()) {
    for (std::size_t i = before, at = 0; i < chat.ids.size(); ++i) {
      const std::size_t size = tokenizer_.token_bytes(chat.ids[i]).size();
      chat.loss_mask.push_back(learned.substr(at, size).find('\1') != std::string_view::npos);
      at += size;
    }
  } else {
    chat.ids.resize(before);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(learned.find(!learned[begin], begin), text.size());
      tokenizer_.encode_append(std::string_view(text.bytes).substr(begin, end - begin), chat.ids,
                               at_start && begin == 0);
      chat.loss_mask.resize(chat.ids.size(), learned[begin] != 0);
      begin = end;
    }
  }
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
