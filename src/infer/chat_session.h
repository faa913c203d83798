// A conversation with a chat-tuned model: who said what, and the next answer.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/generator.h"
#include "tokenizer/chat_template.h"

namespace stepstone {

class ChatSession {
 public:
  // Throws UsageError when `stone` is no chat model, saying what to do instead. `generator` is of
  // the same stone and must outlive this. Of `request`, the prompt, the stop tokens and what
  // happens when the context is full are set here.
  ChatSession(const Stone& stone, Generator& generator, EngineRequest request);

  // Empty: no system message. The conversation goes on.
  void set_system(std::string text);
  const std::string& system() const { return system_; }
  // Forgets all but the system message.
  void reset();
  // Without the system message.
  const std::vector<Message>& messages() const { return messages_; }

  struct Reply {
    Generation generation;
    std::size_t dropped = 0;  // oldest messages that this answer could no longer see
  };
  using OnText = std::function<void(std::string_view)>;
  using Interrupted = std::function<bool()>;

  // Adds the user's message and the answer. Bytes of `user` that are not UTF-8 become U+FFFD; text
  // that looks like a control token stays text. On an exception nothing is added. Throws
  // UsageError for a message that does not fit the context, Error for one that the tokenizer
  // cannot encode.
  Reply ask(std::string_view user, const OnText& on_text, const Interrupted& interrupted = {});
  // Answers the last message once more, with other random draws. Throws UsageError before the
  // first.
  Reply regenerate(const OnText& on_text, const Interrupted& interrupted = {});

  // One JSON line {"messages": […]}, system message included: what `tune` takes as data.
  void save(const std::filesystem::path& file) const;

 private:
  Reply answer(std::vector<Message> messages, const OnText& on_text,
               const Interrupted& interrupted);
  // The tokens of what the model sees: as many of the latest messages as leave room to answer.
  std::vector<std::int32_t> fit(std::span<const Message> messages, std::size_t& dropped) const;

  Generator& generator_;
  ChatTemplate template_;
  EngineRequest request_;
  std::string system_;
  std::vector<Message> messages_;
};

// True when the stone has a chat template.
bool is_chat_model(const Stone& stone);
// Its template. Throws FormatError where that is none.
ChatTemplate chat_template(const Stone& stone);

}  // namespace stepstone
