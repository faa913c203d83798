// Answers in a chat, in which text and calls of functions are told apart.
#pragma once

#include <optional>

#include "serve/chat_request.h"
#include "serve/text_exchange.h"
#include "serve/tool_call_parser.h"

namespace stepstone {

class ReplyExchange : public TextExchange {
 public:
  ReplyExchange(ServedModel& model, std::shared_ptr<HttpReply> reply, ChatRequest request);

 protected:
  struct ToolCall {
    std::string id, name, arguments;
  };
  struct CallDelta {
    std::size_t call = 0;        // which one of the reply
    bool first = false;          // its id and name are news
    std::string arguments = {};  // the next bytes
  };
  struct ReplyPart {
    bool first = false;
    std::string text = {};
    std::vector<CallDelta> calls = {};
    std::vector<ScoredToken> logprobs = {};
    FinishReason finish = FinishReason::none;
    std::string stopped_by = {};
  };
  // All of a choice so far.
  struct Reply {
    std::string text = {};
    std::vector<ToolCall> calls = {};
    std::vector<ScoredToken> logprobs = {};
    FinishReason finish = FinishReason::none;
    std::string stopped_by = {};
    bool called() const { return !calls.empty() && api_name(finish) == "stop"; }
  };

  // Only of streams; the reply holds the part already.
  virtual void take_reply(std::size_t choice, const ReplyPart& part) = 0;
  const Reply& reply_of(std::size_t choice) const { return replies_[choice]; }

 private:
  void take_part(std::size_t choice, Part part) final;

  const ToolStyle style_;
  std::vector<Reply> replies_;
  std::vector<ToolCallParser> parsers_;  // empty where no tools were offered
};

}  // namespace stepstone
