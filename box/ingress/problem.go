package ingress

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/blindbox/blindbox/box/callers"
	"github.com/blindbox/blindbox/box/quota"
	"github.com/blindbox/blindbox/internal/sizes"
	"github.com/blindbox/blindbox/policy"
)

// problem is why a request was not answered, as problem+json (RFC 9457). It
// goes to the one who sent the request and holds nothing of it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Code is stable and has a page in docs/errors.
	Code string `json:"code"`
	Fix  string `json:"fix"`
	// PolicyLine is the line of box.yaml that decided.
	PolicyLine int `json:"policy_line,omitempty"`
	// Error says the same to clients of OpenAI's API, which read nothing else (RFC 9457,
	// section 3.2, has room for it).
	Error *openAIError `json:"error,omitempty"`

	challenge string        // for WWW-Authenticate
	wait      time.Duration // for Retry-After; a second if zero
}

func newProblem(status int, title, detail, fix string) *problem {
	return &problem{
		Type: "about:blank", Title: title, Status: status, Detail: detail,
		Code: fmt.Sprintf("BBX-%d", status), Fix: fix,
	}
}

func unreadable(detail, fix string) *problem {
	return newProblem(http.StatusBadRequest, "the box cannot read the request", detail, fix)
}

// modelFix is for a body in which the one name of a model is not found.
const modelFix = "Send JSON in which no member is there twice, with the model's name in \"model\", or for a recording a form (multipart/form-data) with one field model."

// openAIError is an error as OpenAI's API has it.
type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    string  `json:"code"`
}

// asOpenAI is the problem with what clients of OpenAI's API read.
func (p *problem) asOpenAI() *problem {
	both := *p
	both.Error = &openAIError{Message: p.Title + ": " + p.Detail + " " + p.Fix, Type: "invalid_request_error", Code: p.Code}
	switch {
	case p.Status == http.StatusTooManyRequests:
		both.Error.Type = "rate_limit_error"
	case p.Status >= http.StatusInternalServerError:
		both.Error.Type = "server_error"
	}
	return &both
}

func unidentified(r *callers.Refusal) *problem {
	var p *problem
	switch r.Status {
	case http.StatusUnauthorized:
		p = newProblem(r.Status, "the box does not know the caller", r.Detail, r.Fix)
		p.challenge, p.PolicyLine = r.Challenge, r.Line
	case http.StatusServiceUnavailable:
		p = notReady(r.Detail)
		p.Fix = r.Fix
	default:
		p = unreadable(r.Detail, r.Fix)
	}
	return p
}

func denied(d policy.Decision) *problem {
	p := newProblem(http.StatusForbidden, "the policy does not allow this", d.Reason+".",
		"Read the policy at "+policy.ReservedPrefix+"/policy. It cannot be changed in a running box.")
	p.PolicyLine = d.Line
	return p
}

func nothingHere() *problem {
	return newProblem(http.StatusNotFound, "there is nothing at this address",
		"The box itself answers under "+policy.ReservedPrefix+", and has nothing of that name there.",
		"The box has /policy, /me, /receipts/ID, /receipts/evidence and /audit/head there, /health and /audit for callers that may observe, and /counters if its policy has them.")
}

func noReceipt() *problem {
	return newProblem(http.StatusNotFound, "there is no such receipt",
		"The box keeps the last receipts of each caller for a while, for that caller alone, and none under this id for this one.",
		"Ask for a receipt with the request, in the header Blindbox-Receipt, and fetch it soon after the answer has ended.")
}

func tooLarge(limit int64) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "the request is larger than the policy allows",
		fmt.Sprintf("The limit is %s, limits.request of the policy.", sizes.Exact(limit)), "Send less, such as a smaller picture, or have the operator publish a policy with a higher `limits: {request: SIZE}`.")
}

// tooLargeModel is tooLarge for an upload.
func tooLargeModel(limit int64) *problem {
	p := tooLarge(limit)
	p.Detail = fmt.Sprintf("The limit is %s, store.owner.bytes of the policy.", sizes.Exact(limit))
	p.Fix = "Send a smaller model, or have the operator publish a policy with a higher `store: {owner: {bytes: SIZE}}`."
	return p
}

func crowded() *problem {
	return newProblem(http.StatusTooManyRequests, "the box is busy",
		"The bodies of the requests of this moment take the memory that this one needs.", "Wait as long as Retry-After says, then send it again.")
}

// unread is for a body that is too long to be read in the time that there is.
func unread() *problem {
	return newProblem(http.StatusTooManyRequests, "the box is busy",
		"Others' runs left no time to read its body.", "Wait as long as Retry-After says, then send it again.")
}

func busy() *problem {
	return newProblem(http.StatusTooManyRequests, "the box is busy",
		"As many requests as the policy allows are running.", "Wait as long as Retry-After says, then send it again.")
}

func crowding() *problem {
	return newProblem(http.StatusTooManyRequests, "the box is busy",
		"The caller has requests running, and the places that are left are kept for callers that have none.", "Wait as long as Retry-After says, then send it again.")
}

func usedUp(s *quota.Spent, line int) *problem {
	p := newProblem(http.StatusTooManyRequests, "the caller has used what the policy gives it",
		fmt.Sprintf("Its %s is used up.", s.What), "Wait as long as Retry-After says, then send it again.")
	p.wait, p.PolicyLine = s.Wait, line
	return p
}

func tooOften(s *quota.Spent) *problem {
	p := newProblem(http.StatusTooManyRequests, "the caller asks the box too often",
		fmt.Sprintf("A caller may ask %d times in %s what every caller may know.", maxAsked, askedPer),
		"Keep the answer: neither the policy nor what it permits changes in a running box.")
	p.wait = s.Wait
	return p
}

func answerTooLarge(limit int64) *problem {
	return appDown(fmt.Sprintf("Its answer is longer than the %s that the policy allows.", sizes.Exact(limit)))
}

func appDown(detail string) *problem {
	return newProblem(http.StatusBadGateway, "the app in the box does not answer", detail,
		"Ask the operator to look at the box. It starts an app that ended again.")
}

func notReady(detail string) *problem {
	return newProblem(http.StatusServiceUnavailable, "the box is not ready", detail, "Try again in a moment.")
}

// ErrorHeader carries the code of an answer that is the box's own. An app
// cannot set it.
const ErrorHeader = "Blindbox-Error"

// refuse sends the problem, if nothing was sent yet.
func (a *answer) refuse(p problem) {
	a.refused = p.Code
	a.rec.Refused(p.Status)
	h := a.Header()
	clear(h)
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set(ErrorHeader, p.Code)
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("Www-Authenticate", p.challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		// Whole seconds (RFC 9110, section 10.2.3), and never too early.
		seconds := max((p.wait+time.Second-1)/time.Second, 1)
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	text, err := json.Marshal(p)
	if err != nil {
		text = []byte("{}")
	}
	a.part()
	a.WriteHeader(p.Status)
	_, _ = a.Write(append(text, '\n'))
}

// send answers with what the box has to say itself.
func (a *answer) send(o *own) {
	h := a.Header()
	h.Set("Content-Type", o.contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	a.part()
	_, _ = a.Write(o.text)
}
