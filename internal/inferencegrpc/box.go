package inferencegrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "github.com/blindbox/blindbox/internal/inferencegrpc/inferencepb"
)

// headerLength is how many of a body's first bytes are JSON.
const headerLength = "Inference-Header-Content-Length"

// box sends requests.
type box struct {
	do func(*http.Request) (*http.Response, error)
}

// modelPath is the path of a model, or of something below it.
func modelPath(name, version, below string) (string, error) {
	path, err := segment("model", name)
	if err != nil {
		return "", err
	}
	path = "/v2/models/" + path
	if version != "" {
		if version, err = segment("version", version); err != nil {
			return "", err
		}
		path += "/versions/" + version
	}
	if below != "" {
		path += "/" + below
	}
	return path, nil
}

// segment is a name that stands in a path as it is. Nothing else is a model's, and
// encoding it would make a request for something else.
func segment(what, name string) (string, error) {
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-~:", c)
	}
	if name == "" || strings.Trim(name, ".") == "" || strings.ContainsFunc(name, func(c rune) bool { return !plain(c) }) {
		return "", connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%s %.140q: expected letters, digits, '.', '_', '-' and '~'", what, name))
	}
	return name, nil
}

// get fetches an object into a message, or into a struct.
func (b box) get(ctx context.Context, path string, into any) error {
	answer, _, err := b.send(ctx, http.MethodGet, path, nil, 0)
	if err != nil {
		return err
	}
	if m, ok := into.(proto.Message); ok {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(answer, m)
	} else {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		return unreadable(err)
	}
	return nil
}

func (b box) post(ctx context.Context, path string) error {
	_, _, err := b.send(ctx, http.MethodPost, path, nil, 0)
	return err
}

// infer sends JSON and the tensors behind it.
func (b box) infer(ctx context.Context, path string, head []byte, tensors [][]byte) (*pb.ModelInferResponse, error) {
	body := bytes.Join(append([][]byte{head}, tensors...), nil)
	answer, n, err := b.send(ctx, http.MethodPost, path, body, len(head))
	if err != nil {
		return nil, err
	}
	a, err := decode(answer[:n], answer[n:])
	if err != nil {
		return nil, unreadable(err)
	}
	return a, nil
}

// send sends a request and returns the body of its answer, of which the first head
// bytes are JSON.
func (b box) send(ctx context.Context, method, path string, body []byte, head int) (answer []byte, length int, err error) {
	q, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, connect.NewError(connect.CodeInternal, err)
	}
	if head > 0 {
		q.Header.Set(headerLength, strconv.Itoa(head))
		q.Header.Set("Content-Type", "application/octet-stream")
	}
	a, err := b.do(q)
	if err != nil {
		return nil, 0, unreachable(ctx, err)
	}
	defer a.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(a.Body, maxMessage+1))
	switch {
	case err != nil:
		return nil, 0, unreachable(ctx, err)
	case len(answer) > maxMessage:
		return nil, 0, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the box's answer is larger than %d bytes", maxMessage))
	case a.StatusCode != http.StatusOK:
		return nil, 0, refusal(a, answer)
	}
	length = len(answer)
	if said := a.Header.Get(headerLength); said != "" {
		if length, err = strconv.Atoi(said); err != nil || length < 0 || length > len(answer) {
			return nil, 0, unreadable(fmt.Errorf("%s is %.40q, and the answer has %d bytes", headerLength, said, len(answer)))
		}
	}
	return answer, length, nil
}

func unreadable(err error) error {
	return connect.NewError(connect.CodeInternal, fmt.Errorf("the box's answer cannot be read: %w", err))
}

// unreachable keeps what the caller did itself apart from what happened to the box.
func unreachable(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	case ctx.Err() != nil:
		return connect.NewError(connect.CodeCanceled, err)
	}
	return connect.NewError(connect.CodeUnavailable, err)
}

// refusal is the box's error answer as an error of gRPC.
func refusal(a *http.Response, body []byte) error {
	var said struct {
		Error         string
		Title, Detail string // of the box's door, RFC 9457
	}
	text := a.Status
	if json.Unmarshal(body, &said) == nil {
		switch {
		case said.Error != "":
			text = said.Error
		case said.Title != "":
			text = strings.TrimSpace(said.Title + ": " + said.Detail)
		}
	}
	err := connect.NewError(codeOf(a.StatusCode), errors.New(text))
	if again := a.Header.Get("Retry-After"); again != "" {
		err.Meta().Set("Retry-After", again)
	}
	return err
}

// codeOf is the gRPC code of an HTTP status, by what the box means with it.
func codeOf(status int) connect.Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusMethodNotAllowed:
		return connect.CodeInvalidArgument
	case http.StatusUnauthorized:
		return connect.CodeUnauthenticated
	case http.StatusForbidden:
		return connect.CodePermissionDenied
	case http.StatusNotFound:
		return connect.CodeNotFound
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return connect.CodeDeadlineExceeded
	case http.StatusConflict, http.StatusPreconditionFailed:
		return connect.CodeFailedPrecondition
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusInsufficientStorage:
		return connect.CodeResourceExhausted
	case http.StatusNotImplemented:
		return connect.CodeUnimplemented
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return connect.CodeUnavailable
	}
	return connect.CodeInternal
}
