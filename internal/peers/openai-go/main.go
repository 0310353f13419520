// Command openai-go asks a server for embeddings with OpenAI's own client for Go, as its
// users do, and prints "ok". The arguments are the address of its API and the model. It
// answers: does the client work with a box as it is?
//
// It is a module of its own: nothing that a box is made of depends on it.
package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: openai-go URL MODEL")
		os.Exit(2)
	}
	if err := ask(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func ask(ctx context.Context, url, model string) error {
	client := openai.NewClient(option.WithBaseURL(url), option.WithAPIKey("the box has the caller's key"), option.WithMaxRetries(0))
	list, err := client.Models.List(ctx)
	if err != nil {
		return err
	}
	if len(list.Data) != 1 || list.Data[0].ID != model {
		return fmt.Errorf("the models are %+v, expected %s alone", list.Data, model)
	}
	one, err := client.Models.Get(ctx, model)
	if err != nil {
		return err
	}
	if one.ID != model || one.OwnedBy != "blindbox" {
		return fmt.Errorf("the model is %+v", one)
	}
	if err := embed(ctx, client, model); err != nil {
		return err
	}
	return refused(ctx, client)
}

// embed compares what one text gives in a list and by itself.
func embed(ctx context.Context, client openai.Client, model string) error {
	input := openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a cat sits on the mat", "a kitten rests on a rug", "quarterly earnings fell"}}
	answer, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: model, Input: input})
	if err != nil {
		return err
	}
	if len(answer.Data) != 3 || len(answer.Data[2].Embedding) != 384 || answer.Usage.PromptTokens < 15 || answer.Usage.TotalTokens != answer.Usage.PromptTokens {
		return fmt.Errorf("%d embeddings, usage %+v", len(answer.Data), answer.Usage)
	}
	near, far := product(answer, 0, 1), product(answer, 0, 2)
	if math.Abs(product(answer, 0, 0)-1) > 1e-3 || near < 0.5 || far > 0.3 {
		return fmt.Errorf("near is %v, far is %v", near, far)
	}
	single, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: model, Dimensions: openai.Int(384), User: openai.String("u"),
		Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("a cat sits on the mat")},
	})
	if err != nil {
		return err
	}
	for i, v := range single.Data[0].Embedding {
		if v != answer.Data[0].Embedding[i] {
			return fmt.Errorf("value %d is %v by itself and %v in a list", i, v, answer.Data[0].Embedding[i])
		}
	}
	return nil
}

func product(answer *openai.CreateEmbeddingResponse, a, b int) (sum float64) {
	for i, v := range answer.Data[a].Embedding {
		sum += v * answer.Data[b].Embedding[i]
	}
	return sum
}

// refused reads errors as the client gives them: the policy's, and the server's.
func refused(ctx context.Context, client openai.Client) error {
	_, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "tumour", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")}})
	var told *openai.Error
	if !errors.As(err, &told) || told.StatusCode != 403 || told.Code != "BBX-403" || told.Message == "" {
		return fmt.Errorf("another model: %v", err)
	}
	_, err = client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "minilm", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfTokens: []int64{1, 2}}})
	if !errors.As(err, &told) || told.StatusCode != 400 || told.Param != "input" || told.Type != "invalid_request_error" {
		return fmt.Errorf("ids of tokens: %v", err)
	}
	return nil
}
