/** What each kind of feedback does to the text it is about. */
import {
  AdapterConfig,
  type AdapterLearningEngine,
  FeedbackSignal,
  TrainingConfig,
  TrainingExample,
} from 'lorakeet/learning';

export async function runFeedback(engine: AdapterLearningEngine, say: (line: string) => void): Promise<void> {
  const prompt = 'ROMEO:\n';
  const generation = (await engine.generateWithAdapter(prompt, undefined, { maxNewTokens: 12, temperature: 0 })).value;
  say(`the model writes ${JSON.stringify(generation)}`);
  const correction = 'O night, come down!';
  const cases: [what: string, signal: FeedbackSignal, text: string][] = [
    ['a correction', FeedbackSignal.userCorrection(correction), correction],
    ['success', FeedbackSignal.success(0.9), generation],
    ['failure', FeedbackSignal.failure(-0.8), generation],
    ['preference', FeedbackSignal.preference(0.7), generation],
    ['a preference for something else', FeedbackSignal.preference(1, generation), generation],
    ['a score of 0', FeedbackSignal.success(0), generation],
  ];
  const config = AdapterConfig.default().with({ learningRate: 3e-3 });
  for (const [what, signal, text] of cases) {
    const id = (await engine.createAdapter('feedback', config)).value;
    const known = new TrainingExample('JULIET:\n', 'The moon is late.');
    await engine.trainAdapter(id, [known], TrainingConfig.default());
    const lossOf = async () => (await engine.evaluate([new TrainingExample(prompt, text)], id)).value.loss;
    const before = await lossOf();
    const preferred = signal.rejected === generation ? correction : generation;
    const learnt = await engine.learnFromFeedback(prompt, preferred, signal, id);
    if (learnt.isFailure) return say(`Failed: ${learnt.error}`);
    const change = before - (await lossOf());
    say(`${what}: log-probability of ${JSON.stringify(text)} ${change < 0 ? '' : '+'}${change.toFixed(2)} a token`);
  }
}
