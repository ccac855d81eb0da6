"""The paper's questions, one numbered script each."""
