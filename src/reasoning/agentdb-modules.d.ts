/** agentdb 3 is not installed with lorakeet; agentdb.ts says what it uses of these. */
declare module 'agentdb/controllers/ReflexionMemory' {
  export const ReflexionMemory: unknown;
}

declare module 'agentdb/controllers/SkillLibrary' {
  export const SkillLibrary: unknown;
}
