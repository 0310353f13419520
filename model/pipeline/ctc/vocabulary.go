package ctc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/blindbox/blindbox/internal/strictjson"
)

const (
	maxTokens = 1 << 20
	maxToken  = 256     // bytes
	maxText   = 1 << 20 // bytes; who speaks for an hour says a tenth of it
)

// read reads a vocabulary of either form.
func read(file []byte) ([]string, error) {
	if bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte("{")) {
		return readJSON(file)
	}
	return readLines(file)
}

// readLines takes a token from each line. The last line may end or not.
func readLines(file []byte) ([]string, error) {
	text := strings.TrimSuffix(strings.ReplaceAll(strings.TrimPrefix(string(file), "\ufeff"), "\r\n", "\n"), "\n")
	switch {
	case !utf8.ValidString(text):
		return nil, errors.New("text that is not UTF-8")
	case text == "":
		return nil, errors.New("nothing")
	case strings.Count(text, "\n") >= maxTokens:
		return nil, fmt.Errorf("more than %d tokens", maxTokens)
	}
	return strings.Split(text, "\n"), nil
}

// readJSON takes the tokens of an object whose values are their ids.
func readJSON(file []byte) ([]string, error) {
	ids, most := map[string]int{}, -1
	r, err := strictjson.NewReader(file, strictjson.Limits{Bytes: len(file) + 1})
	if err != nil {
		return nil, err
	}
	err = r.Object(func(token string) error {
		id, err := r.Uint(32)
		if err == nil && (id >= maxTokens || len(ids) >= maxTokens) {
			err = fmt.Errorf("id %d, expected less than %d tokens", id, maxTokens)
		}
		ids[token], most = int(id), max(most, int(id))
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, err
	}
	if len(ids) != most+1 {
		return nil, fmt.Errorf("%d tokens with ids up to %d, expected each id from 0 on once", len(ids), most)
	}
	return placed(ids)
}

// placed puts each token where its id says. There are as many ids as places.
func placed(ids map[string]int) ([]string, error) {
	tokens, taken := make([]string, len(ids)), make([]bool, len(ids))
	for token, id := range ids {
		if taken[id] {
			return nil, fmt.Errorf("two tokens with the id %d", id)
		}
		tokens[id], taken[id] = token, true
	}
	return tokens, nil
}
